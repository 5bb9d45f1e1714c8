// Everything that can be passed wrongly: each is an error with a code and a message that says what was expected, and no crash.
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { binding } from '../src/addon.js';
import type { Cell, NativeSessionHandle } from '../src/binding.js';
import { createSession, NativeTensor, RuntimeError, type RuntimeErrorCode, type Session } from '../src/index.js';
import { increment, sequence, sumAndProduct, testOperator } from './support/models.js';
import { modelFile, testOpsLibrary } from './support/programs.js';

let library: string;
beforeAll(async () => {
  library = await testOpsLibrary();
}, 120_000);

async function failure(action: () => unknown): Promise<RuntimeError> {
  try {
    await action();
  } catch (error) {
    expect(error).toBeInstanceOf(RuntimeError);
    return error as RuntimeError;
  }
  throw new Error('no error was thrown');
}

type Case = readonly [label: string, code: RuntimeErrorCode, message: RegExp, value: unknown];

describe('createSession', () => {
  const file = (name: string, bytes: Uint8Array) => {
    const path = join(tmpdir(), `ort-dora-bad-${process.pid}-${name}.onnx`);
    writeFileSync(path, bytes);
    return path;
  };
  const good = increment();

  test.each<Case>([
    ['a path that is not there', 'MODEL_NOT_FOUND', /x\.onnx: .*failed/i, '/nowhere/x.onnx'],
    ['a folder', 'MODEL_LOAD_FAILED', /usr/, '/usr'],
    ['an empty path', 'INVALID_ARGUMENT', /model: expected a path/, ''],
    ['a path with a zero in it', 'INVALID_ARGUMENT', /model: expected a path without/, 'model\0.onnx'],
    [
      'a damaged file',
      'MODEL_LOAD_FAILED',
      /bad.*\.onnx/,
      file('damaged', Buffer.from('\x08\x0a\xff\xff\xff garbage'.repeat(10))),
    ],
    ['half a file', 'MODEL_LOAD_FAILED', /bad.*\.onnx/, file('half', good.subarray(0, good.length >> 1))],
    ['an empty file', 'MODEL_LOAD_FAILED', /bad.*\.onnx/, file('empty', new Uint8Array(0))],
    ['garbage', 'MODEL_LOAD_FAILED', /model: /, new Uint8Array(1000).fill(7)],
    ['no bytes', 'INVALID_ARGUMENT', /model: expected .*empty/, new Uint8Array(0)],
    ['a number', 'INVALID_ARGUMENT', /model: expected a path or a Uint8Array, got 7/, 7],
    ['nothing', 'INVALID_ARGUMENT', /got undefined/, undefined],
    ['null', 'INVALID_ARGUMENT', /got null/, null],
    ['an ArrayBuffer', 'INVALID_ARGUMENT', /class ArrayBuffer/, new ArrayBuffer(8)],
    ['a model whose operator nobody has', 'MODEL_LOAD_FAILED', /ort\.dora\.test/, testOperator('Sleep')],
  ])('%s', async (_, code, message, model) => {
    const error = await failure(() => createSession(model as string));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test.each<Case>([
    [
      'an unknown option',
      'INVALID_ARGUMENT',
      /options: expected one of customOps, .*, got 'intraOpThreads'/,
      { intraOpThreads: 1 },
    ],
    ['options that are a string', 'INVALID_ARGUMENT', /options: expected an object, got 'fast'/, 'fast'],
    ['options that are null', 'INVALID_ARGUMENT', /options: expected an object, got null/, null],
    [
      '−1 threads',
      'INVALID_ARGUMENT',
      /intraOpNumThreads: expected an integer from 0 to 1024, got -1/,
      { intraOpNumThreads: -1 },
    ],
    ['1.5 threads', 'INVALID_ARGUMENT', /got 1\.5/, { intraOpNumThreads: 1.5 }],
    ['NaN threads', 'INVALID_ARGUMENT', /got NaN/, { interOpNumThreads: Number.NaN }],
    ['a million threads', 'INVALID_ARGUMENT', /got 1000000/, { intraOpNumThreads: 1e6 }],
    ['threads as a string', 'INVALID_ARGUMENT', /got '2'/, { intraOpNumThreads: '2' }],
    [
      'an unknown level',
      'INVALID_ARGUMENT',
      /graphOptimizationLevel: expected 'disabled' or .*, got 'x'/,
      { graphOptimizationLevel: 'x' },
    ],
    ['an unknown mode', 'INVALID_ARGUMENT', /executionMode/, { executionMode: 'both' }],
    ['a flag as a number', 'INVALID_ARGUMENT', /enableMemPattern: expected a boolean, got 1/, { enableMemPattern: 1 }],
    [
      'a severity out of range',
      'INVALID_ARGUMENT',
      /logSeverityLevel: expected an integer from 0 to 4, got 9/,
      { logSeverityLevel: 9 },
    ],
    ['an empty log id', 'INVALID_ARGUMENT', /logId/, { logId: '' }],
    [
      'customOps as another word',
      'INVALID_ARGUMENT',
      /customOps: expected 'auto', 'off' or an array of paths/,
      { customOps: 'on' },
    ],
    [
      'a library that is a number',
      'INVALID_ARGUMENT',
      /customOps\[0\]: expected the path of a library, got 7/,
      { customOps: [7] },
    ],
    ['a library that is not there', 'OPS_LIBRARY_FAILED', /nowhere\.so/, { customOps: ['/nowhere.so'] }],
    ['a library without operators', 'OPS_LIBRARY_FAILED', /RegisterCustomOps/, { customOps: ['libm.so.6'] }],
    [
      'config entries as an array',
      'INVALID_ARGUMENT',
      /configEntries: expected an object, got \[\]/,
      { configEntries: [] },
    ],
    [
      'a config entry that is an object',
      'INVALID_ARGUMENT',
      /configEntries\['a'\]: expected a string/,
      { configEntries: { a: {} } },
    ],
    ['a config entry with a long name', 'INVALID_ARGUMENT', /length/, { configEntries: { ['a'.repeat(2000)]: '1' } }],
    [
      'bytes that the session would go on reading',
      'INVALID_ARGUMENT',
      /give its path/,
      { configEntries: { 'session.use_ort_model_bytes_directly': '1' } },
    ],
    [
      'a negative dimension',
      'INVALID_ARGUMENT',
      /freeDimensionOverrides\.n: expected an integer/,
      { freeDimensionOverrides: { n: -1 } },
    ],
    ['providers as an object', 'INVALID_ARGUMENT', /providers: expected an array/, { providers: {} }],
    ['a provider without a name', 'INVALID_ARGUMENT', /providers\[0\]\.name/, { providers: [{}] }],
    ['a provider that is a string', 'INVALID_ARGUMENT', /providers\[0\]: expected an object/, { providers: ['cuda'] }],
    [
      'CUDA where there is none',
      'PROVIDER_UNAVAILABLE',
      /cuda/i,
      { providers: [{ name: 'cuda', options: { device_id: 0 } }] },
    ],
    ['an unknown provider', 'PROVIDER_UNAVAILABLE', /bogus/i, { providers: [{ name: 'bogus' }] }],
    ['a signal that is none', 'INVALID_ARGUMENT', /signal: expected an AbortSignal/, { signal: {} }],
    ['an unknown symbolicDims', 'INVALID_ARGUMENT', /symbolicDims/, { symbolicDims: 'loose' }],
  ])('%s', async (_, code, message, options) => {
    const error = await failure(() => createSession(good, options as object));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe.each(['run', 'runSync'] as const)('%s', (method) => {
  let session: Session;
  beforeAll(async () => {
    session = await createSession(sumAndProduct());
  });
  afterAll(() => session.dispose());

  const a = { type: 'float32', data: new Float32Array(4), dims: [1, 4] };
  const detached = () => {
    const data = new Float32Array(4);
    structuredClone(data.buffer, { transfer: [data.buffer] });
    return { ...a, data };
  };

  test.each<Case>([
    [
      'of another type',
      'INVALID_ARGUMENT',
      /input 'b': expected float32 \[m, 4\], got int32 \[1, 4\]/,
      { ...a, type: 'int32', data: new Int32Array(4) },
    ],
    ['of bfloat16', 'INVALID_ARGUMENT', /got bfloat16 \[1, 4\]/, { ...a, type: 'bfloat16', data: new Uint16Array(4) }],
    [
      'of another fixed length',
      'INVALID_ARGUMENT',
      /expected float32 \[m, 4\], got float32 \[1, 2\]/,
      { ...a, data: new Float32Array(2), dims: [1, 2] },
    ],
    ['of another rank', 'INVALID_ARGUMENT', /got float32 \[4\]/, { ...a, dims: [4] }],
    [
      'of another symbolic length',
      'INVALID_ARGUMENT',
      /expected m = 1/,
      { ...a, data: new Float32Array(8), dims: [2, 4] },
    ],
    [
      'with too little data',
      'INVALID_ARGUMENT',
      /'b': data has 12 bytes, dims need 16/,
      { ...a, data: new Float32Array(3) },
    ],
    [
      'with too much data',
      'INVALID_ARGUMENT',
      /'b': data has 20 bytes, dims need 16/,
      { ...a, data: new Float32Array(5) },
    ],
    ['with a negative dim', 'INVALID_ARGUMENT', /'b'/, { ...a, dims: [-1, 4] }],
    ['with a fractional dim', 'INVALID_ARGUMENT', /'b'/, { ...a, dims: [1.5, 4] }],
    ['with a NaN dim', 'INVALID_ARGUMENT', /'b'/, { ...a, dims: [Number.NaN, 4] }],
    ['with huge dims', 'INVALID_ARGUMENT', /'b'/, { ...a, dims: [2 ** 52, 4] }],
    ['with dims that are a number', 'INVALID_ARGUMENT', /input 'b'\.dims: expected an array, got 4/, { ...a, dims: 4 }],
    [
      'without dims',
      'INVALID_ARGUMENT',
      /input 'b'\.dims: expected an array, got undefined/,
      { type: 'float32', data: a.data },
    ],
    ['without data', 'INVALID_ARGUMENT', /'b': data must be a typed array/, { type: 'float32', dims: [1, 4] }],
    [
      'with another class of array',
      'INVALID_ARGUMENT',
      /'b': the class of the typed array/,
      { ...a, data: new Int32Array(4) },
    ],
    ['with a plain array', 'INVALID_ARGUMENT', /'b': data must be a typed array/, { ...a, data: [1, 2, 3, 4] }],
    [
      'with a DataView',
      'INVALID_ARGUMENT',
      /'b': data must be a typed array/,
      { ...a, data: new DataView(new ArrayBuffer(16)) },
    ],
    ['with a detached buffer', 'INVALID_ARGUMENT', /'b': data has 0 bytes, dims need 16/, detached()],
    [
      'that is null',
      'INVALID_ARGUMENT',
      /input 'b': expected \{ type, data, dims \} or a NativeTensor, got null/,
      null,
    ],
    ['that is a number', 'INVALID_ARGUMENT', /input 'b': expected .*, got 3/, 3],
    [
      'of strings',
      'INVALID_ARGUMENT',
      /got string \[1, 4\]/,
      { type: 'string', data: ['a', 'b', 'c', 'd'], dims: [1, 4] },
    ],
    [
      'of an unknown type',
      'INVALID_ARGUMENT',
      /input 'b'\.type: expected an element type, got 'float8'/,
      { ...a, type: 'float8' },
    ],
    ['that is not there', 'INVALID_ARGUMENT', /input 'b' is missing: expected float32 \[m, 4\]/, undefined],
  ])('an input %s', async (_, code, message, b) => {
    const error = await failure(() => session[method]({ a, b } as never));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test.each<Case>([
    [
      'an input too many',
      'INVALID_ARGUMENT',
      /the model has no input 'c': its inputs are 'a', 'b'/,
      [{ a, b: a, c: a }],
    ],
    ['feeds that are null', 'INVALID_ARGUMENT', /feeds: expected an object/, [null]],
    [
      'an unknown output',
      'INVALID_ARGUMENT',
      /the model has no output 'z': its outputs are 'sum', 'prod'/,
      [{ a, b: a }, { fetches: ['z'] }],
    ],
    ['an unknown output by name', 'INVALID_ARGUMENT', /no output 'z'/, [{ a, b: a }, { fetches: { z: true } }]],
    ['no output', 'INVALID_ARGUMENT', /fetches: expected at least one output/, [{ a, b: a }, { fetches: {} }]],
    ['fetches that are a string', 'INVALID_ARGUMENT', /fetches: expected an array/, [{ a, b: a }, { fetches: 'sum' }]],
    [
      'a target of another shape',
      'INVALID_ARGUMENT',
      /sum|output/i,
      [{ a, b: a }, { fetches: { sum: { ...a, data: new Float32Array(2), dims: [1, 2] } } }],
    ],
    [
      'a target of another type',
      'INVALID_ARGUMENT',
      /sum|output/i,
      [{ a, b: a }, { fetches: { sum: { ...a, type: 'int32', data: new Int32Array(4) } } }],
    ],
    ['a target that is a number', 'INVALID_ARGUMENT', /output 'sum': expected/, [{ a, b: a }, { fetches: { sum: 3 } }]],
    [
      'an unknown device',
      'INVALID_ARGUMENT',
      /device: expected 'cpu' or 'cuda:N', got 'tpu:0'/,
      [
        { a, b: a },
        { fetches: { sum: 'native' }, device: 'tpu:0' },
      ],
    ],
    [
      'a device that the session has not',
      'PROVIDER_UNAVAILABLE',
      /not on the device asked for/,
      [
        { a, b: a },
        { fetches: { sum: 'native' }, device: 'cuda:0' },
      ],
    ],
    ['a tag that is a number', 'INVALID_ARGUMENT', /tag: expected a string, got 1/, [{ a, b: a }, { tag: 1 }]],
    ['a severity out of range', 'INVALID_ARGUMENT', /logSeverityLevel/, [{ a, b: a }, { logSeverityLevel: 7 }]],
    [
      'config entries as a string',
      'INVALID_ARGUMENT',
      /configEntries: expected an object/,
      [{ a, b: a }, { configEntries: 'x' }],
    ],
  ])('%s', async (_, code, message, parameters) => {
    const error = await failure(() => session[method](...(parameters as [never, never])));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('a kernel that throws', async () => {
    const sleep = await createSession(testOperator('Sleep'), { customOps: [library], logSeverityLevel: 4 });
    const error = await failure(() => sleep[method]({ x: { type: 'float32', data: Float32Array.of(-1), dims: [1] } }));
    expect(error).toMatchObject({ code: 'RUN_FAILED', message: expect.stringMatching(/negative time/) });
    expect(error.ort?.message).toMatch(/negative time/);
    await sleep.dispose();
  });
});

describe('NativeTensor.from', () => {
  test.each<Case>([
    ['nothing', 'INVALID_ARGUMENT', /tensor: expected \{ type, data, dims \}/, undefined],
    [
      'an unknown type',
      'INVALID_ARGUMENT',
      /tensor\.type: expected an element type/,
      { type: 'toString', data: new Uint8Array(1), dims: [1] },
    ],
    [
      'too little data',
      'INVALID_ARGUMENT',
      /data has 4 bytes, dims need 8/,
      { type: 'float32', data: new Float32Array(1), dims: [2] },
    ],
    [
      'fewer strings than dims say',
      'INVALID_ARGUMENT',
      /data has 1 strings, dims need 2/,
      { type: 'string', data: ['a'], dims: [2] },
    ],
    [
      'a string that is none',
      'INVALID_ARGUMENT',
      /data\[1\] is not a string/,
      { type: 'string', data: ['a', 1], dims: [2] },
    ],
    [
      'dims beyond 64 bits',
      'INVALID_ARGUMENT',
      /dims are too large/,
      { type: 'float32', data: new Float32Array(1), dims: [2 ** 40, 2 ** 40] },
    ],
  ])('%s', async (_, code, message, value) => {
    const error = await failure(() => NativeTensor.from(value as never));
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('the native layer itself, called wrongly', () => {
  let session: NativeSessionHandle;
  beforeAll(async () => {
    session = await binding().NativeSessionHandle.create(increment(), { opsLibraries: [] }).promise;
  });
  const output: Cell[] = [1, null, null];
  const input: Cell[] = [1, Float32Array.of(1), [1]];
  const raw = () =>
    binding() as unknown as Record<string, (...values: unknown[]) => unknown> & {
      NativeSessionHandle: { create: (...values: unknown[]) => unknown };
    };
  const construct = (name: string) => new (binding() as unknown as Record<string, new () => unknown>)[name]!();

  test.each<[string, () => unknown]>([
    ['new NativeSessionHandle', () => construct('NativeSessionHandle')],
    ['new NativeTensorHandle', () => construct('NativeTensorHandle')],
    ['NativeSessionHandle()', () => (binding().NativeSessionHandle as unknown as () => unknown)()],
    ['create without options', () => raw().NativeSessionHandle.create(increment())],
    ['options of wrong types', () => raw().NativeSessionHandle.create(increment(), { opsLibraries: 'x' })],
    ['a method on {}', () => Object.getPrototypeOf(session).run.call({}, input, output)],
    ['too few cells', () => session.run([1], output)],
    ['no cells', () => (session.run as () => unknown)()],
    ['an array-like of cells', () => session.run({ length: 3 } as never, output)],
    ['a null handle', () => session.run([-1, null, null], output)],
    ['a handle code for a typed array', () => session.run([-1, Float32Array.of(1), [1]], output)],
    ['an unknown type code', () => session.run([99, Float32Array.of(1), [1]], output)],
    ['a NaN type code', () => session.run([Number.NaN, Float32Array.of(1), [1]], output)],
    ['a NaN fetch code', () => session.run(input, [7, null, null])],
    ['a fetch code that is a string', () => session.run(input, ['x' as never, null, null])],
    [
      'cells whose getter throws',
      () =>
        session.run(
          new Proxy([], {
            get: () => {
              throw new Error('trap');
            },
          }),
          output,
        ),
    ],
    [
      'a config that throws',
      () =>
        session.run(input, output, {
          get config(): never {
            throw new Error('trap');
          },
        }),
    ],
    ['a library that is a number', () => raw().tryOpsLibrary!(7)],
    ['an id that is a string', () => raw().cancel!('x')],
    ['a library path that is a number', () => raw().load!(7)],
  ])('%s throws', (_, action) => {
    expect(action).toThrow();
    expect(session.runSync(input, output)).toMatchObject([1, Float32Array.of(2), [1]]);
  });

  test('an unknown id cancels nothing', () => {
    expect(binding().cancel(4_000_000)).toBe(false);
  });
});

test('what is disposed is refused', async () => {
  const session = await createSession(sequence());
  await session.dispose();
  await session.dispose();
  expect(await failure(() => session.endProfiling())).toMatchObject({ code: 'DISPOSED' });
  expect(await failure(() => session.run({}))).toMatchObject({ code: 'DISPOSED' });
  const tensor = NativeTensor.from({ type: 'float32', data: Float32Array.of(1), dims: [1] });
  tensor.dispose();
  const increments = await createSession(modelFile('increment', increment()));
  expect(await failure(() => increments.run({ x: tensor }))).toMatchObject({ code: 'DISPOSED' });
});
