// InferenceSession and Tensor of onnxruntime-common, on this package.
import { createRequire } from 'node:module';
import * as esm from 'onnxruntime-common';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { BACKEND_NAME, bfloat16Tensor, registerBackend } from '../src/backend.js';
import { NativeTensor } from '../src/index.js';
import { identities, increment, slow, twice } from './support/models.js';
import { buildRuntime, modelFile, runProgram, testOpsLibrary } from './support/programs.js';

const cjs = createRequire(import.meta.url)('onnxruntime-common') as typeof esm;

let library: string;
beforeAll(async () => {
  [library] = await Promise.all([testOpsLibrary(), buildRuntime()]);
  registerBackend();
  registerBackend();
}, 120_000);

describe.each([
  ['import', esm],
  ['require', cjs],
] as const)('the onnxruntime-common of %s', (_, { InferenceSession, Tensor }) => {
  const x = () => new Tensor('float32', Float32Array.of(1, 2), [2]);

  test('runs without naming an execution provider', async () => {
    const session = await InferenceSession.create(increment());
    expect(session.inputNames).toEqual(['x']);
    expect(session.outputMetadata).toEqual([{ name: 'y', isTensor: true, type: 'float32', shape: ['n'] }]);
    const { y } = await session.run({ x: x() });
    expect(y).toBeInstanceOf(Tensor);
    expect(y).toMatchObject({ type: 'float32', dims: [2], location: 'cpu', data: Float32Array.of(2, 3) });
    await session.release();
    await expect(session.run({ x: x() })).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  test('opens a file by path, with options', async () => {
    const session = await InferenceSession.create(modelFile('increment', increment()), {
      executionProviders: [BACKEND_NAME],
      intraOpNumThreads: 1,
      graphOptimizationLevel: 'basic',
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    });
    const target = new Tensor('float32', new Float32Array(2), [2]);
    const { y } = await session.run({ x: x() }, { y: target }, { tag: 'test' });
    expect(y).toBe(target);
    expect(target.data).toEqual(Float32Array.of(2, 3));
    await session.release();
  });

  test('takes op libraries by the execution provider', async () => {
    const own = { name: BACKEND_NAME, customOps: [library] };
    const session = await InferenceSession.create(twice(), { executionProviders: [own] });
    expect((await session.run({ x: x() }, ['y'])).y?.data).toEqual(Float32Array.of(2.5, 4.5));
    await session.release();
  });

  test('carries bfloat16 in and out', async () => {
    const session = await InferenceSession.create(identities(['bfloat16']));
    const given = bfloat16Tensor(Uint16Array.of(0x3f80, 0x4000), [2], Tensor);
    expect(given).toBeInstanceOf(Tensor);
    const { out_bfloat16: out } = await session.run({ bfloat16: given });
    expect(out).toBeInstanceOf(Tensor);
    expect(out).toMatchObject({ type: 'bfloat16', dims: [2], data: Uint16Array.of(0x3f80, 0x4000) });
    expect(out?.reshape([1, 2])).toMatchObject({ type: 'bfloat16', dims: [1, 2] });
    expect(() => out?.reshape([3])).toThrow();
    await session.release();
  });

  test('takes a signal', async () => {
    const session = await InferenceSession.create(slow(200), { intraOpNumThreads: 1 });
    const signal = AbortSignal.timeout(50);
    await expect(session.run({ x: new Tensor('float32', [1], [1]) }, { signal } as object)).rejects.toMatchObject({
      name: 'TimeoutError',
    });
    await expect(session.run({ x: new Tensor('float32', [1], [1]) }, { terminate: true })).rejects.toThrow(
      'terminated',
    );
    await session.release();
  });

  test('takes a NativeTensor as a feed', async () => {
    const session = await InferenceSession.create(increment());
    const native = NativeTensor.from({ type: 'float32', data: Float32Array.of(4), dims: [1] });
    expect((await session.run({ x: native as never })).y?.data).toEqual(Float32Array.of(5));
    await session.release();
  });

  test('says what is wrong', async () => {
    await expect(InferenceSession.create('/nowhere.onnx')).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    await expect(InferenceSession.create(increment(), { preferredOutputLocation: 'gpu-buffer' })).rejects.toMatchObject(
      {
        code: 'NOT_SUPPORTED',
      },
    );
    const session = await InferenceSession.create(increment());
    await expect(session.run({ x: new Tensor('int32', [1], [1]) })).rejects.toThrow(
      "input 'x': expected float32 [n], got int32 [1]",
    );
    await session.release();
  });

  test('drops execution providers that nobody has, with its own warning', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    const session = await InferenceSession.create(increment(), { executionProviders: ['bogus', BACKEND_NAME] });
    expect(warn.mock.calls.flat().join()).toMatch(/removing requested execution provider "bogus"/);
    warn.mockRestore();
    await session.release();
  });
});

describe.each(['backend-from-import.mjs', 'backend-from-require.cjs'])('%s', (program) => {
  test.each(['addon', 'onnxruntime-node'])('on %s', async (runtime) => {
    const { code, stdout, stderr } = await runProgram(
      program,
      { model: modelFile('increment', increment()) },
      { env: { ORT_DORA_RUNTIME: runtime }, flags: ['--disable-warning=ExperimentalWarning'] },
    );
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${runtime} float32 2,3 true\n`, stderr: '' });
  });
});
