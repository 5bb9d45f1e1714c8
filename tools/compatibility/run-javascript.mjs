// Runs the cases of a list (see cases.mjs) in an installed onnxruntime-node or onnxruntime-web: a JSON object a line each.
// usage: node run-javascript.mjs CASES.tsv FOLDER_WITH_NODE_MODULES onnxruntime-node|onnxruntime-web
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const ARRAYS = {
  float32: Float32Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  bool: Uint8Array,
};

const [list, folder, name] = process.argv.slice(2);
const ort = createRequire(join(folder, 'package.json'))(name);
ort.env.logLevel = 'fatal';
if (name === 'onnxruntime-web') ort.env.wasm.numThreads = 1;

for (const each of cases(list)) {
  let outcome;
  try {
    const error = await run(each);
    outcome = { error, passed: error <= each.tolerance };
  } catch (failure) {
    outcome = { failure: failure instanceof Error ? failure.message : String(failure), passed: false };
  }
  console.log(JSON.stringify({ case: each.name, ...outcome }));
}
process.exit();

function cases(path) {
  const found = [];
  for (const line of readFileSync(path, 'utf8').trimEnd().split('\n')) {
    const [kind, ...fields] = line.split('\t');
    if (kind === 'case') {
      const [title, model, tolerance] = fields;
      found.push({ name: title, model, tolerance: Number(tolerance), feeds: {}, expected: {} });
    } else if (kind === 'input') {
      const [input, type, dims, file] = fields;
      const shape = dims === '' ? [] : dims.split(',').map(Number);
      found.at(-1).feeds[input] = new ort.Tensor(type, elements(file, ARRAYS[type]), shape);
    } else {
      found.at(-1).expected[fields[0]] = elements(fields[1], Float64Array);
    }
  }
  return found;
}

function elements(file, Type) {
  return new Type(new Uint8Array(readFileSync(file)).buffer);
}

async function run({ model, feeds, expected }) {
  const source = name === 'onnxruntime-web' ? new Uint8Array(readFileSync(model)) : model;
  const session = await ort.InferenceSession.create(source, { logSeverityLevel: 4 });
  const results = await session.run(feeds);
  let worst = 0;
  for (const [output, reference] of Object.entries(expected)) {
    const values = numbers(results[output]);
    const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const [index, value] of reference.entries()) {
      const difference = Math.abs(values[index] - value) / largest;
      worst = Math.max(worst, difference);
    }
  }
  await session.release();
  return worst;
}

function numbers({ type, data }) {
  return type === 'float16' && data instanceof Uint16Array ? Array.from(data, fromFloat16) : data;
}

function fromFloat16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
