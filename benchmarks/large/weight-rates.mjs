// `node weight-rates.mjs FOLDER`: in this process, how fast the weights of one layer of a part of the 32B export go through
// DoraScale with all of them in memory, and one of them through a merge; prints bytes of W and elements a second as JSON.
import { join } from 'node:path';
import { DataType, encodeModel, openModel } from '@ort-dora/onnx';
import { fileTensors, makeOperatorModel, mergeExactly } from '@ort-dora/rewriter';
import { createSession } from '@ort-dora/runtime';
import { WeightMerge } from '../../packages/cli/dist/weights/merge-compute.js';
import { median } from './measured.mjs';

const RUNS = 3;
/** Rows that the merge in float64 is timed on. */
const EXACT_ROWS = 256;

const file = await openModel(join(process.argv[2], 'slim.onnx'));
const tensors = fileTensors(file);
const { initializer } = file.model.graph;
const modules = initializer.flatMap(({ name }) => {
  const [, path] = /^(model\.layers\.0\..*)\.base_layer\.weight$/.exec(name) ?? [];
  return path === undefined ? [] : [path];
});
const layer = [];
for (const path of modules) layer.push(await inMemory(path));
const scale = await scaleRate(layer);
const merge = await mergeRates(layer.find(({ path }) => path.endsWith('gate_proj')));
await file.close();
console.log(JSON.stringify({ modules: modules.length, ...scale, ...merge }));

async function inMemory(path) {
  const read = async (suffix) => {
    const tensor = tensors(initializer.find(({ name }) => name === `${path}.${suffix}`));
    const bytes = new Uint8Array(await tensor.read()).buffer;
    const { dims, byteLength, dataType } = tensor;
    const isFloat32 = dataType === DataType.FLOAT;
    const type = isFloat32 ? 'float32' : 'bfloat16';
    const data = isFloat32 ? new Float32Array(bytes) : new Uint16Array(bytes);
    return {
      type,
      dataType,
      dims,
      byteLength,
      data,
      read: async (start = 0, end = byteLength) => new Uint8Array(bytes, start, end - start),
    };
  };
  const [W, A, B, m] = [
    await read('base_layer.weight'),
    await read('lora_A.default.weight'),
    await read('lora_B.default.weight'),
    await read('lora_magnitude_vector.default.weight'),
  ];
  return { path, W, A, B, m };
}

async function scaleRate(layer) {
  const [{ W, A, m }] = layer;
  const types = { weight: W.type, adapter: A.type, magnitude: m.type };
  const form = { op: 'DoraScale', ...types, transW: 0, transA: 0, transB: 0 };
  const model = makeOperatorModel(form, { opset: 18, target: 'cpu', scaling: 2 });
  const session = await createSession(encodeModel(model));
  const value = ({ type, data, dims }) => ({ type, data, dims });
  const pass = async () => {
    for (const { W, A, B, m } of layer) {
      await session.run({ W: value(W), A: value(A), B: value(B), m: value(m) });
    }
  };
  const seconds = await timed(pass);
  await session.dispose();
  const bytes = layer.reduce((sum, { W }) => sum + W.byteLength, 0);
  return { scaleBytesPerSecond: bytes / seconds };
}

async function mergeRates({ path, W, A, B }) {
  const [outFeatures, inFeatures] = W.dims;
  const adapter = { loraA: A, loraB: B, transA: 0, transB: 0, rank: A.dims[0], scaling: 2 };
  const request = (rows) => ({
    path,
    weight: { ...W, dims: [rows, inFeatures], byteLength: 2 * rows * inFeatures },
    transW: 0,
    type: 'bfloat16',
    outFeatures: rows,
    inFeatures,
    adapters: [{ ...adapter, gain: new Float32Array(rows).fill(1.01) }],
  });
  const weights = new WeightMerge();
  const all = await timed(() => drained(weights.compute(request(outFeatures))));
  await weights[Symbol.asyncDispose]();
  const few = request(EXACT_ROWS);
  const byteLength = (B.byteLength / outFeatures) * EXACT_ROWS;
  few.adapters[0].loraB = { ...B, dims: [EXACT_ROWS, B.dims[1]], byteLength, read: () => B.read(0, byteLength) };
  const exact = await timed(() => drained(mergeExactly(few)), 1);
  return {
    mergeElementsPerSecond: (outFeatures * inFeatures) / all,
    exactElementsPerSecond: (EXACT_ROWS * inFeatures) / exact,
  };
}

/** Median seconds of a few runs, after one that is not counted. */
async function timed(run, runs = RUNS) {
  await run();
  const seconds = [];
  for (let i = 0; i < runs; i++) {
    const begun = performance.now();
    await run();
    seconds.push((performance.now() - begun) / 1000);
  }
  return median(seconds);
}

async function drained(pieces) {
  for await (const piece of pieces) void piece;
}
