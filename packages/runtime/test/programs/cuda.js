// What only a GPU can show, as tests of node:test: `node cuda.js '{"increment": "increment.onnx", …}'`. cuda.test.ts runs it, and it
// runs by itself on machines that have Node.js and a GPU and nothing else.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createSession, cudaMemory, describeCuda, loadInitializers, NativeTensor } from '@ort-dora/runtime';

const models = JSON.parse(process.argv[2]);
const GPU = 'cuda:0';
const cuda = [{ name: 'cuda', tf32: false }];
const graphs = [{ name: 'cuda', tf32: false, graphs: true }];

const float32 = (values, dims = [values.length]) => ({ type: 'float32', data: Float32Array.from(values), dims });
const onGpu = (tensor) => {
  const there = NativeTensor.allocate(tensor.type, tensor.dims, { device: GPU });
  there.copyFromSync(tensor);
  return there;
};
const code = (expected, message) => (error) => {
  assert.equal(error.code, expected, error.message);
  assert.match(error.message, message);
  return true;
};

test('the machine is described', () => {
  const { usable, problems, devices, libraries } = describeCuda();
  assert.deepEqual(problems, []);
  assert.ok(usable);
  console.log(devices, libraries.map(({ soname, version }) => `${soname} ${version}`).join(', '));
  assert.match(devices[0].computeCapability, /^\d+\.\d$/);
});

describe('tensors on the device', () => {
  test('are zeros, and take and give data', async () => {
    const tensor = NativeTensor.allocate('float32', [2, 3], { device: GPU });
    assert.equal(tensor.device, GPU);
    assert.deepEqual(await tensor.read(), new Float32Array(6));
    await tensor.copyFrom(float32([1, 2, 3, 4, 5, 6], [2, 3]));
    assert.deepEqual(tensor.readSync(), Float32Array.of(1, 2, 3, 4, 5, 6));
    assert.throws(() => tensor.data(), code('NOT_SUPPORTED', /device memory/));
    tensor.dispose();
  });

  test('large ones too, from pinned and from plain memory', async () => {
    const count = 20_000_000;
    const pinned = NativeTensor.allocate('int32', [count], { device: 'cpu-pinned' });
    const view = pinned.data();
    for (let i = 0; i < count; i++) view[i] = i;
    const a = NativeTensor.allocate('int32', [count], { device: GPU });
    const b = NativeTensor.allocate('int32', [count], { device: GPU });
    let start = performance.now();
    await a.copyFrom(pinned);
    const fast = performance.now() - start;
    start = performance.now();
    await b.copyFrom({ type: 'int32', data: view.slice(), dims: [count] });
    console.log(`80 MB up: pinned ${fast.toFixed(1)} ms, plain ${(performance.now() - start).toFixed(1)} ms`);
    await b.copyFrom(a);
    assert.equal(Buffer.compare(Buffer.from((await b.read()).buffer), Buffer.from(view.buffer)), 0);
    for (const tensor of [pinned, a, b]) tensor.dispose();
  });

  test('have views of rows and under other dims, which outlive them', async () => {
    const tensor = onGpu(float32([1, 2, 3, 4, 5, 6], [3, 2]));
    const rows = tensor.slice(1, 3);
    await rows.copyFrom(float32([7, 8, 9, 10]));
    assert.deepEqual(tensor.reshape([6]).readSync(), Float32Array.of(1, 2, 7, 8, 9, 10));
    tensor.dispose();
    assert.deepEqual(rows.readSync(), Float32Array.of(7, 8, 9, 10));
    rows.dispose();
  });

  test('give their memory back at once', () => {
    const before = cudaMemory().free;
    const tensor = NativeTensor.allocate('uint8', [2 ** 30], { device: GPU });
    assert.ok(before - cudaMemory().free >= 2 ** 30);
    tensor.dispose();
    assert.ok(before - cudaMemory().free < 2 ** 24);
  });

  test('that do not fit are refused', () => {
    assert.throws(
      () => NativeTensor.allocate('uint8', [2 ** 45], { device: GPU }),
      code('PROVIDER_UNAVAILABLE', /33554432 MiB on cuda:0 cannot be allocated: CUDA: out of memory/),
    );
    assert.throws(
      () => NativeTensor.allocate('uint8', [1], { device: 'cuda:77' }),
      code('PROVIDER_UNAVAILABLE', /cuda:77 cannot be used: CUDA: invalid device ordinal/),
    );
  });
});

describe('a session', () => {
  let session;
  before(async () => {
    session = await createSession(models.increment, { providers: cuda });
  });
  after(() => session.dispose());

  test('keeps outputs on the device', async () => {
    let { y } = await session.run({ x: float32([0, 10]) }, { fetches: { y: 'native' }, device: GPU });
    for (let i = 0; i < 4; i++) ({ y } = session.runSync({ x: y }, { fetches: { y: 'native' } }));
    assert.equal(y.device, GPU);
    assert.deepEqual(await y.read(), Float32Array.of(5, 15));
    ({ y } = await session.run({ x: y }, { fetches: { y: 'native' }, device: 'cpu' }));
    assert.deepEqual(y.data(), Float32Array.of(6, 16));
  });

  test('runs in bound memory', async () => {
    const x = onGpu(float32([1, 2]));
    const y = NativeTensor.allocate('float32', [2], { device: GPU });
    const bound = session.bind({ x }, { y });
    await bound.run();
    assert.deepEqual(y.readSync(), Float32Array.of(2, 3));
    x.copyFromSync(float32([5, 6]));
    bound.runSync();
    assert.deepEqual(y.readSync(), Float32Array.of(6, 7));
    bound.dispose();
    assert.throws(() => bound.runSync(), code('DISPOSED', /bound run is disposed/));
  });

  test('takes bound inputs only where it reads them', () => {
    const x = NativeTensor.allocate('float32', [2]);
    const y = NativeTensor.allocate('float32', [2], { device: GPU });
    assert.throws(
      () => session.bind({ x }, { y }),
      code('INVALID_ARGUMENT', /input 'x': expected a tensor on cuda:0, .* got one on cpu/),
    );
  });

  test('without CUDA graphs captures none', () => {
    const x = NativeTensor.allocate('float32', [2], { device: GPU });
    assert.throws(
      () => session.bind({ x }, { y: x }, { graph: true }),
      code('INVALID_ARGUMENT', /made without CUDA graphs/),
    );
  });

  test('stays within its memory limit', async () => {
    const limited = await createSession(models.increment, {
      providers: [{ name: 'cuda', memoryLimit: 1 << 20 }],
      logSeverityLevel: 4,
    });
    const x = NativeTensor.allocate('float32', [1 << 22], { device: GPU });
    await assert.rejects(
      limited.run({ x }, { fetches: { y: 'native' }, device: GPU }),
      code('RUN_FAILED', /allocate/i),
    );
    await limited.dispose();
  });
});

describe('CUDA graphs', () => {
  let session;
  before(async () => {
    session = await createSession(models.chain, { providers: graphs });
  });
  after(() => session.dispose());

  const buffers = (count) => {
    const x = NativeTensor.allocate('float32', [count], { device: GPU });
    const y = NativeTensor.allocate('float32', [count], { device: GPU });
    return { x, y, bound: session.bind({ x }, { y }, { graph: true }) };
  };
  const check = async ({ x, y, bound }, value, method) => {
    x.copyFromSync(float32(new Float32Array(x.dims[0]).fill(value)));
    await bound[method]();
    assert.deepEqual(await y.read(), new Float32Array(x.dims[0]).fill(value + models.chainLength));
  };

  test('are replayed on what is in the buffers, one for each set of them, from any kind of run', async () => {
    const sets = [buffers(16), buffers(16), buffers(5000)];
    for (let round = 0; round < 20; round++) {
      for (const [i, set] of sets.entries())
        await check(set, 100 * i + round, (round + i) % 3 === 0 ? 'run' : 'runSync');
      const { y } = await session.run({ x: float32([round]) });
      assert.deepEqual(y.data, Float32Array.of(round + models.chainLength));
    }
  });

  test('cost less than launches', async () => {
    const plain = await createSession(models.chain, { providers: cuda });
    const { x, y, bound } = buffers(16);
    const time = (run) => {
      for (let i = 0; i < 20; i++) run();
      const start = performance.now();
      for (let i = 0; i < 200; i++) run();
      return (performance.now() - start) * 5;
    };
    const launched = plain.bind({ x }, { y });
    const without = time(() => launched.runSync());
    const replayed = time(() => bound.runSync());
    console.log(`${models.chainLength} nodes: ${without.toFixed(0)} µs launched, ${replayed.toFixed(0)} µs replayed`);
    assert.ok(replayed < without / 2);
    launched.dispose();
    await plain.dispose();
  });

  test('are replayed with little on top', async () => {
    const one = await createSession(models.increment, { providers: graphs });
    const x = NativeTensor.allocate('float32', [16], { device: GPU });
    const bound = one.bind({ x }, { y: NativeTensor.allocate('float32', [16], { device: GPU }) }, { graph: true });
    for (let i = 0; i < 100; i++) bound.runSync();
    const start = performance.now();
    for (let i = 0; i < 1000; i++) bound.runSync();
    const microseconds = performance.now() - start;
    console.log(`a graph of one node: ${microseconds.toFixed(0)} µs, launch, kernel and wait included`);
    // A twentieth of a decode step of 5 ms.
    assert.ok(microseconds < 250);
    bound.dispose();
    await one.dispose();
  });

  test('of two bound runs at once take turns', async () => {
    const sets = [buffers(64), buffers(64)];
    for (let round = 0; round < 50; round++) await Promise.all(sets.map((set, i) => check(set, 10 * i + round, 'run')));
  });

  test('refuse a second run of one set while it is in flight', async () => {
    const { bound } = buffers(16);
    const first = bound.run();
    await assert.rejects(bound.run(), code('INVALID_ARGUMENT', /in flight/));
    await first;
  });

  test('stop at an abort', async () => {
    const { bound } = buffers(16);
    await assert.rejects(bound.run({ signal: AbortSignal.abort() }), { name: 'AbortError' });
    await bound.run();
  });
});

describe('a process ends cleanly under a run of a CUDA graph', () => {
  const program = fileURLToPath(new URL('cuda-exit.js', import.meta.url));
  for (const [way, expected] of Object.entries({ exit: 0, disposeAndExit: 0, throw: 1, workerTerminated: 0 })) {
    test(way, async () => {
      const child = spawn(process.execPath, [program, models.chain, way], { stdio: 'ignore', timeout: 30_000 });
      const [code, signal] = await once(child, 'exit');
      assert.deepEqual({ code, signal }, { code: expected, signal: null });
    });
  }
});

test('sessions of one model hold its weights once', async () => {
  const bytes = 2 ** 29;
  const file = createWriteStream(join(dirname(models.weights), 'weights.bin'));
  const part = Buffer.from(new Float32Array(2 ** 20).fill(0.5).buffer);
  for (let done = 0; done < bytes; done += part.length) if (!file.write(part)) await once(file, 'drain');
  file.end();
  await once(file, 'finish');
  const used = () => cudaMemory().total - cudaMemory().free;
  const start = performance.now();
  const initializers = await loadInitializers(models.weights, { device: GPU });
  console.log(`512 MiB loaded in ${(performance.now() - start).toFixed(0)} ms`);
  assert.deepEqual(Object.keys(initializers), ['W']);
  const sessions = [];
  const add = async () => {
    const session = await createSession(models.weights, { providers: cuda, initializers });
    const x = float32(new Float32Array(models.weightsRows).fill(2), [1, models.weightsRows]);
    assert.equal((await session.run({ x })).y.data[7], models.weightsRows);
    sessions.push(session);
  };
  await add();
  const before = used();
  await add();
  for (const tensor of Object.values(initializers)) tensor.dispose();
  const grown = used() - before;
  console.log(`a second session takes ${(grown / 2 ** 20).toFixed(0)} MiB`);
  assert.ok(grown < bytes / 2);
  for (const session of sessions) await session.dispose();
  assert.ok(before - used() >= bytes);
});

test('operators of ort.dora run on the device', async () => {
  const rows = 5;
  const feeds = {
    x: float32(
      Array.from({ length: rows * 256 }, (_, i) => Math.cos(i)),
      [rows, 256],
    ),
  };
  const [cpu, gpu] = await Promise.all([
    createSession(models.dora),
    createSession(models.dora, { providers: cuda, configEntries: { 'session.disable_cpu_ep_fallback': '1' } }),
  ]);
  const expected = await cpu.run(feeds);
  const got = await gpu.run(feeds);
  for (const [name, { data }] of Object.entries(expected)) {
    const most = data.reduce((so, value) => Math.max(so, Math.abs(value)), 0);
    const apart = data.reduce((so, value, i) => Math.max(so, Math.abs(value - got[name].data[i])), 0);
    console.log(`${name}: ${apart / most} of the largest`);
    assert.ok(apart <= 1e-5 * most);
  }
  await Promise.all([cpu.dispose(), gpu.dispose()]);
});
