// What sessions on stock onnxruntime-node do and refuse; prints JSON.
import { createSession, describeRuntime, NativeTensor } from '@ort-dora/runtime';

const models = JSON.parse(process.argv[2]);
const float32 = (...values) => ({ type: 'float32', data: Float32Array.from(values), dims: [values.length] });
const x = float32(1, 2);
const code = async (action) => {
  try {
    await action();
    return 'no error';
  } catch (error) {
    return typeof error.code === 'string' ? error.code : error.name;
  }
};

const session = await createSession(models.increment);
const target = float32(0, 0);
await session.run({ x }, { fetches: { y: target } });
const native = (await session.run({ x: NativeTensor.from(x) }, { fetches: { y: 'native' } })).y;
const chained = (await session.run({ x: native }, { fetches: { y: 'native' } })).y;
const fromNative = [chained.device, [...chained.data()], chained instanceof NativeTensor];
chained.dispose();

const two = await createSession(models.two);
const rows = (count) => ({ type: 'float32', data: new Float32Array(4 * count), dims: [count, 4] });

const types = await createSession(models.bfloat16);
const feeds = {
  bfloat16: { type: 'bfloat16', data: Uint16Array.of(1), dims: [1] },
  float16: { type: 'float16', data: Uint16Array.of(15360, 1), dims: [2] },
  int64: { type: 'int64', data: BigInt64Array.of(-5n), dims: [1] },
  bool: { type: 'bool', data: Uint8Array.of(1, 0), dims: [2] },
  string: { type: 'string', data: ['a', 'ü'], dims: [2] },
  uint8: { type: 'uint8', data: Uint8ClampedArray.of(300), dims: [1] },
};
const typed = {};
for (const type of ['float16', 'int64', 'bool', 'string', 'uint8']) {
  const held = NativeTensor.from(feeds[type]);
  if (held.type !== type) throw new Error(`${type} became ${held.type}`);
  typed[type] = Array.from(held.data(), (value) => (typeof value === 'bigint' ? `${value}` : value));
}

const disposed = await createSession(models.increment);
await disposed.dispose();

const results = {
  backends: [session.backend, types.backend],
  run: [...(await session.run({ x })).y.data],
  runSync: [...session.runSync({ x }).y.data],
  target: [...target.data],
  native: fromNative,
  fetches: Object.keys(await two.run({ a: rows(1), b: rows(1) }, { fetches: ['prod'] })),
  functionBody: [...(await (await createSession(models.twice)).run({ x })).y.data],
  types: typed,
  bfloat16: await code(() => types.run(feeds)),
  customOps: await code(() => createSession(models.twice, { customOps: [models.library] })),
  missing: await code(() => session.run({})),
  wrongType: await code(() => session.run({ x: { type: 'int32', data: new Int32Array(2), dims: [2] } })),
  wrongLength: await code(() => session.run({ x: { ...x, dims: [3] } })),
  symbolic: await code(() => two.run({ a: rows(1), b: rows(2) })),
  device: await code(() => session.run({ x }, { fetches: { y: 'native' }, device: 'cuda:0' })),
  notFound: await code(() => createSession('/nowhere.onnx')),
  damaged: await code(() => createSession(new Uint8Array(100).fill(7))),
  aborted: await code(async () => {
    const signal = AbortSignal.timeout(10);
    for (;;) await session.run({ x }, { signal });
  }),
  abortedBefore: await code(() => session.run({ x }, { signal: AbortSignal.abort() })),
  disposed: await code(() => disposed.run({ x })),
  description: describeRuntime().backend,
};
console.log(JSON.stringify(results));
