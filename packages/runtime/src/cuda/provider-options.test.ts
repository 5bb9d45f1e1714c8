import { expect, test } from 'vitest';
import { createSession } from '../index.js';
import { cudaOptions } from './provider-options.js';

const refused = (message: RegExp) =>
  expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(message) });

test('options are written as ONNX Runtime reads them', () => {
  const written = cudaOptions(
    {
      name: 'cuda',
      device: 1,
      memoryLimit: 2 ** 34,
      arenaGrowth: 'as-requested',
      tf32: false,
      graphs: true,
      unifiedStream: true,
      copyInComputeStream: false,
      convolutionSearch: 'heuristic',
      preferNhwc: false,
      options: { sdpa_kernel: 1, fuse_conv_bias: true },
    },
    'providers[0]',
  );
  expect(written).toEqual({
    device_id: '1',
    gpu_mem_limit: '17179869184',
    arena_extend_strategy: 'kSameAsRequested',
    use_tf32: '0',
    enable_cuda_graph: '1',
    use_ep_level_unified_stream: '1',
    do_copy_in_default_stream: '0',
    cudnn_conv_algo_search: 'HEURISTIC',
    prefer_nhwc: '0',
    sdpa_kernel: '1',
    fuse_conv_bias: '1',
  });
});

test.each([
  [{ device: -1 }, /providers\[0\]\.device: expected an integer from 0 to 255, got -1/],
  [{ device: 'cuda:0' }, /providers\[0\]\.device: expected an integer/],
  [{ memoryLimit: 1.5 }, /providers\[0\]\.memoryLimit: expected an integer/],
  [{ arenaGrowth: 'double' }, /arenaGrowth: expected 'power-of-two' or 'as-requested', got 'double'/],
  [{ tf32: 1 }, /tf32: expected a boolean, got 1/],
  [{ graph: true }, /providers\[0\]: expected fields among name, device, memoryLimit, .*, options, got 'graph'/],
  [{ device: 1, options: { device_id: 0 } }, /options\['device_id'\]: expected device alone/],
  [{ options: { x: [] } }, /options\['x'\]: expected a string/],
])('%o is refused', async (fields, message) => {
  await expect(createSession(new Uint8Array(1), { providers: [{ name: 'cuda', ...fields } as never] })).rejects.toThrow(
    refused(message),
  );
});

test("other providers have options by ONNX Runtime's names only", async () => {
  await expect(createSession(new Uint8Array(1), { providers: [{ name: 'cpu', device: 1 } as never] })).rejects.toThrow(
    refused(/providers\[0\]: expected the fields name and options, got 'device'/),
  );
});
