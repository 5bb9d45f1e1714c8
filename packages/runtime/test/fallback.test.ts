// Stock onnxruntime-node in place of the addon: the same sessions, plain errors for the rest, and one line on stderr.
import { beforeAll, describe, expect, test } from 'vitest';
import { identities, increment, sumAndProduct, twice } from './support/models.js';
import { buildRuntime, modelFile, runProgram, testOpsLibrary } from './support/programs.js';

let library: string;
beforeAll(async () => {
  [library] = await Promise.all([testOpsLibrary(), buildRuntime()]);
}, 120_000);

const BROKEN = { ORT_DORA_ADDON: '/nowhere/addon.node' };
const SAID =
  /^ort-dora: models run on stock onnxruntime-node, .*ORT_DORA_ADDON=\/nowhere\/addon\.node does not exist.*\n$/;

async function inFallback(env: Record<string, string>) {
  const argument = {
    library,
    increment: modelFile('increment', increment()),
    twice: modelFile('twice', twice()),
    two: modelFile('two', sumAndProduct()),
    bfloat16: modelFile('bfloat16', identities(['bfloat16', 'float16', 'int64', 'bool', 'string', 'uint8'])),
  };
  const outcome = await runProgram('fallback.js', argument, { env });
  expect(outcome).toMatchObject({ code: 0, signal: null });
  return { ...outcome, results: JSON.parse(outcome.stdout) };
}

describe.each([
  ['because the addon cannot be loaded', BROKEN, SAID],
  ['because it was asked for', { ORT_DORA_RUNTIME: 'onnxruntime-node' }, /^$/],
])('onnxruntime-node, %s', (_, env, said) => {
  test('does what it can, refuses the rest, and says so once', async () => {
    const { stderr, results } = await inFallback(env);
    expect(stderr).toMatch(said);
    expect(results).toEqual({
      backends: ['onnxruntime-node', 'onnxruntime-node'],
      run: [2, 3],
      runSync: [2, 3],
      target: [2, 3],
      native: ['cpu', [3, 4], true],
      fetches: ['prod'],
      functionBody: [2, 4],
      types: { float16: [15360, 1], int64: ['-5'], bool: [1, 0], string: ['a', 'ü'], uint8: [255] },
      bfloat16: 'NOT_SUPPORTED',
      customOps: 'NOT_SUPPORTED',
      missing: 'INVALID_ARGUMENT',
      wrongType: 'INVALID_ARGUMENT',
      wrongLength: 'INVALID_ARGUMENT',
      symbolic: 'INVALID_ARGUMENT',
      device: 'PROVIDER_UNAVAILABLE',
      notFound: 'MODEL_NOT_FOUND',
      damaged: 'MODEL_LOAD_FAILED',
      aborted: 'TimeoutError',
      abortedBefore: 'AbortError',
      disposed: 'DISPOSED',
      description: 'onnxruntime-node',
    });
  });

  test('is said once in a process, workers included', async () => {
    const argument = { model: modelFile('increment', increment()) };
    const { code, stdout, stderr } = await runProgram('fallback-in-workers.js', argument, { env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '2,2,2,2\n' });
    expect(stderr).toMatch(said);
  });
});

test('ORT_DORA_RUNTIME=addon fails instead of falling back', async () => {
  const argument = { model: modelFile('increment', increment()) };
  const env = { ...BROKEN, ORT_DORA_RUNTIME: 'addon' };
  const { code, stderr } = await runProgram('fallback-in-workers.js', argument, { env });
  expect(code).toBe(1);
  expect(stderr).toMatch(/RuntimeError: ORT_DORA_ADDON=\/nowhere\/addon\.node does not exist/);
  expect(stderr).toMatch(/ADDON_UNAVAILABLE/);
});

test('another value of ORT_DORA_RUNTIME is an error', async () => {
  const argument = { model: modelFile('increment', increment()) };
  const { code, stderr } = await runProgram('fallback-in-workers.js', argument, { env: { ORT_DORA_RUNTIME: 'fast' } });
  expect(code).toBe(1);
  expect(stderr).toMatch(/ORT_DORA_RUNTIME: expected 'addon' or 'onnxruntime-node', got 'fast'/);
});

test('an op library that cannot be registered is said once, and models run through their function bodies', async () => {
  const env = { ORT_DORA_OPS_LIBRARY: '/lib/x86_64-linux-gnu/libm.so.6' };
  const argument = { model: modelFile('twice', twice()) };
  const { code, stdout, stderr } = await runProgram('fallback-in-workers.js', argument, { env });
  expect({ code, stdout }).toEqual({ code: 0, stdout: '2,2,2,2\n' });
  expect(stderr).toMatch(/^ort-dora: the operator library is not used, .*RegisterCustomOps.*\n$/);
});
