// CUDA: what sessions say where it is missing, and, on a machine that has it, all that test/programs/cuda.js looks at.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeCuda } from '../src/index.js';
import { chain, doraLinear, externalWeights, increment } from './support/models.js';
import { buildRuntime, modelFile, runProgram } from './support/programs.js';

beforeAll(buildRuntime, 120_000);

const { usable } = describeCuda();

test.skipIf(!usable)(
  'on a GPU',
  async () => {
    const { code, stdout } = await runProgram('cuda.js', gpuModels());
    expect({ code, stdout: code === 0 ? '' : stdout }).toEqual({ code: 0, stdout: '' });
  },
  120_000,
);

function gpuModels() {
  const chainLength = 200;
  const weightsRows = 2 ** 13;
  return {
    increment: modelFile('increment', increment()),
    chain: modelFile('chain', chain(chainLength)),
    chainLength,
    weights: modelFile('weights', externalWeights(weightsRows, 2 ** 14)),
    weightsRows,
    dora: modelFile('dora', doraLinear()),
  };
}

describe('where CUDA is missing', () => {
  const root = mkdtempSync(join(tmpdir(), 'cuda-provider-'));
  afterAll(() => rmSync(root, { recursive: true }));
  const folder = (...files: string[]) => {
    const path = mkdtempSync(join(root, 'folder-'));
    for (const file of files) writeFileSync(join(path, file), 'not a library');
    return path;
  };
  const session = async (env: Record<string, string>) => {
    const argument = { model: modelFile('increment', increment()) };
    const { code, stdout, stderr } = await runProgram('cuda-missing.js', argument, {
      env: { LD_LIBRARY_PATH: '', ...env },
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as { code: string; message: string; onnxruntime: string; folder: string; cpu: number[] };
  };

  test('a session that wants it says which files are needed, of which version, and where', async () => {
    const provider = folder();
    const { code, message, cpu } = await session({ ORT_DORA_CUDA_PROVIDER_DIR: provider });
    expect(code).toBe('PROVIDER_UNAVAILABLE');
    expect(message).toContain(
      'CUDA cannot be used: ONNX Runtime 1.30.0 has no CUDA provider: libonnxruntime_providers_cuda.so and',
    );
    expect(message).toContain(`not in ${provider}`);
    expect(message).toContain('onnxruntime-gpu==1.30.0');
    expect(cpu).toEqual([2, 3]);
  });

  test('a provider that is half there is told by the half that is not', async () => {
    const { message } = await session({ ORT_DORA_CUDA_PROVIDER_DIR: folder('libonnxruntime_providers_cuda.so') });
    expect(message).toContain('has no CUDA provider: libonnxruntime_providers_shared.so not in');
  });

  test('a provider that is no library is told by its name, and the CPU works on', async () => {
    const cache = folder();
    const provider = folder('libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so');
    const {
      message,
      folder: found,
      cpu,
    } = await session({ ORT_DORA_CUDA_PROVIDER_DIR: provider, XDG_CACHE_HOME: cache });
    expect(message).toContain(`${join(provider, 'libonnxruntime_providers_cuda.so')} is cut off`);
    expect(found).toBe(provider);
    expect(cpu).toEqual([2, 3]);
  });

  test('onnxruntime-node still has its own library where the provider is elsewhere', async () => {
    const provider = folder('libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so');
    const cache = join(folder(), 'made', 'on', 'the', 'way');
    const env = { ORT_DORA_CUDA_PROVIDER_DIR: provider, XDG_CACHE_HOME: cache };
    const stock = await runProgram(
      'two-libraries.js',
      { order: ['own', 'stock'], model: modelFile('increment', increment()) },
      { env },
    );
    expect(stock).toMatchObject({ code: 0, stderr: '' });
  });

  test('links that cannot be made are an error that says so', async () => {
    const provider = folder('libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so');
    const cache = join(folder('file'), 'file');
    const argument = { model: modelFile('increment', increment()) };
    const env = { ORT_DORA_CUDA_PROVIDER_DIR: provider, XDG_CACHE_HOME: cache, ORT_DORA_RUNTIME: 'addon' };
    const { code, stderr } = await runProgram('cuda-missing.js', argument, { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/ORT_DORA_CUDA_PROVIDER_DIR cannot be followed: ENOTDIR/);
  });
});
