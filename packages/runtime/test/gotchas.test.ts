// What was found to go wrong beside onnxruntime-node and ONNX Runtime 1.30, one test each (docs/decisions/0001-own-session-binding.md).
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MessageChannel } from 'node:worker_threads';
import { opsLibraryPath } from '@ort-dora/custom-ops';
import { beforeAll, describe, expect, test } from 'vitest';
import { addonState } from '../src/addon.js';
import type { Binding, Cell } from '../src/binding.js';
import { createSession, type NativeTensor, type TensorData } from '../src/index.js';
import { findOrtLibrary } from '../src/ort-library.js';
import { increment, sumAndProduct, testOperator, twice } from './support/models.js';
import { buildRuntime, modelFile, runProgram, testOpsLibrary } from './support/programs.js';

let library: string;
beforeAll(async () => {
  [library] = await Promise.all([testOpsLibrary(), buildRuntime()]);
}, 120_000);

function native(): Binding {
  const state = addonState();
  if (state.status === 'unavailable') throw state.error;
  return state.addon.binding;
}

function float32(values: ArrayLike<number>, dims: readonly number[] = [values.length]): TensorData<'float32'> {
  return { type: 'float32', data: Float32Array.from(values), dims };
}

describe('1: sessions that load an op library for the first time at once', () => {
  test('do not trip over one another', async () => {
    const model = modelFile('twice', twice());
    // Unlocked, 14 of 60 such processes failed: all of these succeed by luck once in 60 times.
    for (let i = 0; i < 8; i++) {
      const outcomes = await Promise.all([1, 2].map(() => runProgram('first-loads.js', { model, library })));
      for (const { code, stdout, stderr } of outcomes) {
        expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '2.5,2.5,2.5,2.5\n', stderr: '' });
      }
    }
  }, 60_000);
});

describe('2: an op library that is registered again and again', () => {
  const own = opsLibraryPath();
  test.each([
    ['the test library', () => library] as const,
    ...(own ? [['the operator library', () => own] as const] : []),
  ])(
    '%s does not slow loading down',
    async (_, path) => {
      const model = increment();
      const times: number[] = [];
      for (let i = 0; i < 500; i++) {
        const start = performance.now();
        const session = await createSession(model, { customOps: [path()], intraOpNumThreads: 1 });
        times.push(performance.now() - start);
        await session.dispose();
      }
      // Re-adding the operators each time makes the 500th load some fifty times as slow as the first.
      expect(median(times.slice(-50))).toBeLessThan(4 * median(times.slice(10, 60)) + 2);
    },
    60_000,
  );
});

describe('3: an input whose ArrayBuffer is transferred during the run', () => {
  const elements = 1 << 16;

  test('stays where it is: a large buffer refuses the transfer', async () => {
    const watch = await createSession(testOperator('Watch'), { customOps: [library] });
    const x = float32(new Float32Array(elements).fill(7));
    x.data[0] = 300;
    const run = watch.run({ x });
    const buffer = x.data.buffer as ArrayBuffer;
    const { port1 } = new MessageChannel();
    // Newer releases of Node.js throw, older ones copy: what counts is that the buffer is not detached.
    for (const transfer of [
      () => structuredClone(buffer, { transfer: [buffer] }),
      () => port1.postMessage(buffer, [buffer]),
    ]) {
      expect([undefined, 'DataCloneError']).toContain(errorName(transfer));
    }
    port1.close();
    expect(x.data.length).toBe(elements);
    expect((await run).y!.data[0]).toBe(0);
    await watch.dispose();
  });

  test('a small buffer is copied, and may go', async () => {
    const sleep = await createSession(testOperator('Sleep'), { customOps: [library] });
    const x = float32([100, 5, 6]);
    const run = sleep.run({ x });
    structuredClone(x.data, { transfer: [x.data.buffer as ArrayBuffer] });
    expect(x.data.length).toBe(0);
    expect((await run).y!.data).toEqual(Float32Array.of(100, 5, 6));
    await sleep.dispose();
  });

  test('a resizable buffer is refused', async () => {
    const session = await createSession(increment());
    // Node.js 20's types do not know maxByteLength.
    const ResizableBuffer = ArrayBuffer as unknown as new (
      length: number,
      options: { maxByteLength: number },
    ) => ArrayBuffer;
    const data = new Float32Array(new ResizableBuffer(4 * elements, { maxByteLength: 8 * elements }));
    const feeds = { x: { type: 'float32', data, dims: [elements] } } as const;
    await expect(session.run(feeds)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT', message: /fixed-length/ });
  });

  test('an input that nothing refers to any more is kept from the collector', async () => {
    const { code, stdout, stderr } = await runProgram(
      'collected-input.js',
      { model: modelFile('watch', testOperator('Watch')), library },
      { flags: ['--expose-gc'] },
    );
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '0\n', stderr: '' });
  });
});

describe("4: runs on threads of their own, not on libuv's four", () => {
  test('leave file reads alone', async () => {
    const sleep = await createSession(testOperator('Sleep'), { customOps: [library] });
    const runs = Array.from({ length: 8 }, () => sleep.run({ x: float32([400]) }));
    const start = performance.now();
    await readFile(fileURLToPath(import.meta.url));
    expect(performance.now() - start).toBeLessThan(200);
    await Promise.all(runs);
    await sleep.dispose();
  });

  test('are not waited for by worker.terminate(), where they have not started', async () => {
    // Two threads here, and six runs of 400 ms: waiting for all of them would take 1200 ms.
    const { code, stdout, stderr } = await runProgram('terminate-worker.js', {
      model: modelFile('sleep', testOperator('Sleep')),
      library,
      milliseconds: 400,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(Number(stdout)).toBeLessThan(900);
  });
});

describe('5: an addon that only workers load', () => {
  test('stays mapped when the last of them ends, under its threads', async () => {
    const argument = { model: modelFile('increment', increment()), library, rounds: 2 };
    for (let i = 0; i < 3; i++) {
      const outcomes = await Promise.all([1, 2].map(() => runProgram('workers-only.js', argument)));
      for (const { code, signal, stdout, stderr } of outcomes) {
        expect({ code, signal, stdout, stderr }).toEqual({ code: 0, signal: null, stdout: 'mapped\n', stderr: '' });
      }
    }
  }, 60_000);
});

describe('6: C++ exceptions', () => {
  test('in a getter become errors of JavaScript', () => {
    const handle = native().NativeTensorHandle.fromData(1, Float32Array.of(1), [1]);
    handle.dispose();
    expect(() => handle.type).toThrow('the NativeTensor is disposed');
    expect(() => handle.dims).toThrow('the NativeTensor is disposed');
    expect(() => handle.device).toThrow('the NativeTensor is disposed');
  });

  test("that are ONNX Runtime's, in a method", async () => {
    const { promise } = native().NativeSessionHandle.create(increment(), { opsLibraries: [] });
    const session = await promise;
    // A model without profiling has no profile to end: ONNX Runtime answers with a status or an empty name, never with an abort.
    expect(() => {
      session.endProfiling();
      throw new Error('ended');
    }).toThrow();
    await session.dispose();
    expect(() => session.inputs).toThrow('the session is disposed');
  });

  test('of the loader', () => {
    expect(() => native().tryOpsLibrary('/nowhere.so')).toThrow(/nowhere\.so/);
  });
});

describe('7: inputs that ONNX Runtime does not check', () => {
  test('a missing one never reaches a kernel', async () => {
    const session = await createSession(sumAndProduct());
    const a = float32([1, 2, 3, 4], [1, 4]);
    await expect(session.run({ a })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: /input 'b' is missing/,
    });
    const { promise } = native().NativeSessionHandle.create(sumAndProduct(), { opsLibraries: [] });
    const cells: Cell[] = [1, a.data, a.dims, undefined, undefined, undefined];
    const handle = await promise;
    expect(() => handle.runSync(cells, [1, null, null, 1, null, null])).toThrow(/'b' is missing/);
    await handle.dispose();
  });

  test('lengths of one symbolic dimension must agree', async () => {
    const feeds = { a: float32([1, 2, 3, 4], [1, 4]), b: float32([1, 2, 3, 4, 5, 6, 7, 8], [2, 4]) };
    const strict = await createSession(sumAndProduct());
    expect(() => strict.runSync(feeds)).toThrow(
      "input 'b': expected m = 1 as in an input before it, got dims [2, 4] for float32 [m, 4]",
    );
    // What ONNX Runtime does by itself: it broadcasts.
    const lax = await createSession(sumAndProduct(), { symbolicDims: 'ignore' });
    expect(lax.runSync(feeds).sum?.dims).toEqual([2, 4]);
  });
});

describe("8: ONNX Runtime's API table, a static member of a template", () => {
  const exported = (path: string) =>
    execFileSync('readelf', ['-W', '--dyn-syms', path], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(
        ([, , , , binding, , section]) =>
          (binding === 'GLOBAL' || binding === 'UNIQUE' || binding === 'WEAK') && section !== 'UND',
      )
      .map(([, , , , binding, , , name]) => `${binding} ${name}`);

  test('is private to the addon', () => {
    const state = addonState();
    const path = state.status === 'loaded' ? state.addon.path : '';
    expect(exported(path).sort()).toEqual([
      'GLOBAL napi_register_module_v1',
      'GLOBAL node_api_module_get_api_version_v1',
    ]);
  });

  test('is private to the op libraries', () => {
    for (const path of [library, opsLibraryPath() ?? library]) {
      const symbols = exported(path);
      expect(symbols).toContain('GLOBAL RegisterCustomOps');
      expect(symbols.filter((symbol) => /^UNIQUE|3Ort/.test(symbol))).toEqual([]);
    }
  });
});

describe('9: two ONNX Runtimes in one process', () => {
  test.each([{ order: ['own', 'stock'] }, { order: ['stock', 'own'] }])(
    "$order share onnxruntime-node's library",
    async ({ order }) => {
      const { code, stdout, stderr } = await runProgram('two-libraries.js', {
        order,
        model: modelFile('increment', increment()),
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toMatchObject({ outputs: ['2,3'], mapped: [findOrtLibrary().path], backend: 'addon' });
    },
  );

  test('another file is refused where one is mapped already, instead of silently not being loaded', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ort-dora-library-'));
    try {
      const copy = join(folder, 'libonnxruntime.so.1');
      copyFileSync(findOrtLibrary().path, copy);
      const argument = { order: ['stock', 'own'], model: modelFile('increment', increment()) };
      const env = { ORT_DORA_ORT_LIBRARY: copy };
      const { code, stdout } = await runProgram('two-libraries.js', argument, { env });
      expect(code).toBe(0);
      const found = JSON.parse(stdout);
      expect(found).toMatchObject({ outputs: ['2,3'], backend: 'onnxruntime-node' });
      expect(found.mapped).toHaveLength(1);
      expect(found.addon.error).toMatch(/another ONNX Runtime is in this process/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a second path is refused', () => {
    expect(() => native().load('/nowhere/libonnxruntime.so.1')).toThrow(/already loaded from .*libonnxruntime/);
  });

  test("onnxruntime-node's own binding links to the file that is found", () => {
    const { path } = findOrtLibrary();
    expect(existsSync(join(path, '../onnxruntime_binding.node'))).toBe(true);
    const require = createRequire(import.meta.url);
    expect(path.startsWith(join(require.resolve('onnxruntime-node/package.json'), '..'))).toBe(true);
  });
});

describe('10: objects of another class', () => {
  test('are refused by their tag, whatever their prototype', async () => {
    const { NativeSessionHandle, NativeTensorHandle } = native();
    const session = await NativeSessionHandle.create(increment(), { opsLibraries: [] }).promise;
    const tensor = NativeTensorHandle.fromData(1, Float32Array.of(1), [1]);
    const tensorPrototype = Object.getPrototypeOf(tensor);
    const run = (handle: unknown) => session.runSync([-1, handle as never, null], [1, null, null]);
    expect(run(tensor)).toMatchObject([1, Float32Array.of(2), [1]]);
    expect(() => run(session)).toThrow('not a NativeTensor');
    expect(() => run(Object.create(tensorPrototype))).toThrow('not a NativeTensor');
    expect(() => tensorPrototype.dispose.call(session)).toThrow('Illegal invocation');
    expect(() => Object.getPrototypeOf(session).runSync.call(tensor, [], [])).toThrow('Illegal invocation');
    const prototype = Object.getPrototypeOf(session);
    Object.setPrototypeOf(session, tensorPrototype);
    expect(() => (session as unknown as NativeTensor).dispose()).toThrow('Illegal invocation');
    Object.setPrototypeOf(session, prototype);
    expect(() => run(session)).toThrow('not a NativeTensor');
    await session.dispose();
  });
});

describe('11: an output wanted on a device that the session has not', () => {
  test.each(['run', 'runSync'] as const)('is an error of %s, not CPU memory', async (method) => {
    const session = await createSession(increment());
    const call = async () => session[method]({ x: float32([1]) }, { fetches: { y: 'native' }, device: 'cuda:0' });
    await expect(call()).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' });
    const { y } = await session[method]({ x: float32([1]) }, { fetches: { y: 'native' }, device: 'cpu' });
    expect((y as NativeTensor).data()).toEqual(Float32Array.of(2));
    await session.dispose();
  });
});

describe('12: the one OrtEnv of the process', () => {
  test('outlives workers and onnxruntime-node', async () => {
    const { code, stdout, stderr } = await runProgram('own-env-after-workers.js', {
      model: modelFile('increment', increment()),
    });
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '2,2,2,2,2,2,2,2,2\n', stderr: '' });
  });
});

describe("13: ONNX Runtime's telemetry, with a thread and uploads of its own", () => {
  test.each(['addon', 'onnxruntime-node'])('stays off unless it is asked for, %s', async (backend) => {
    const model = modelFile('increment', increment());
    // ONNX Runtime leaves it off by itself where a variable says that this is a CI run.
    const { PATH, HOME } = process.env;
    const none = Object.fromEntries(Object.keys(process.env).map((name) => [name, undefined]));
    const threads = async (telemetry: string | undefined) => {
      const env = { ...none, PATH, HOME, ORT_DORA_RUNTIME: backend, ORT_DISABLE_TELEMETRY: telemetry };
      const { code, stdout } = await runProgram('threads.js', { model }, { env });
      expect([code, stdout.split(' ')[0]]).toEqual([0, backend]);
      return Number(stdout.split(' ')[1]);
    };
    const off = await threads('1');
    expect(await threads('0')).toBeGreaterThan(off);
    expect(await threads(undefined)).toBe(off);
  });
});

function errorName(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as Error).name;
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
