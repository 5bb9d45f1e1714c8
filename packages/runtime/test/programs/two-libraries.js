// The addon and stock onnxruntime-node in one process, in the given order; `other`: a second file of ONNX Runtime.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createSession, describeRuntime } from '@ort-dora/runtime';

const { order, model } = JSON.parse(process.argv[2]);
const require = createRequire(import.meta.url);
const data = Float32Array.of(1, 2);
let stock;
let own;
let ort;
const open = {
  async stock() {
    ort = require('onnxruntime-node');
    stock = await ort.InferenceSession.create(model);
  },
  async own() {
    own = await createSession(model);
  },
};
for (const which of order) await open[which]();
const stockRun = async (session) => (await session.run({ x: new ort.Tensor('float32', data, [2]) })).y.data.join();
const ownRun = async () => (await own.run({ x: { type: 'float32', data, dims: [2] } })).y.data.join();
const outputs = await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 ? stockRun(stock) : ownRun())));
await stock.release();
outputs.push(await ownRun());
const again = await ort.InferenceSession.create(model);
await own.dispose();
outputs.push(await stockRun(again));
const mapped = new Set(
  readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .map((line) => line.split(/\s+/)[5])
    .filter((path) => path?.includes('libonnxruntime.so')),
);
const { backend, onnxruntime, addon } = describeRuntime();
console.log(JSON.stringify({ outputs: [...new Set(outputs)], mapped: [...mapped], backend, onnxruntime, addon }));
