// `node load-and-run.mjs HOW MODEL LAYERS KV_HEADS HEAD_DIM HIDDEN`: in this process, loads a decoder and runs it; prints the times in
// milliseconds, the memory that is this process's own and the last logits of the long run as JSON. HOW is one of the ways below.
import { readFileSync } from 'node:fs';
import { createSession } from '@ort-dora/runtime';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { median } from './measured.mjs';

const RUNS = 7;
const WAYS = {
  stock: (model) => InferenceSession.create(model),
  'stock-unpacked': (model) => InferenceSession.create(model, { extra: { session: { disable_prepacking: '1' } } }),
  library: (model) => createSession(model),
  'library-kernels': (model) => createSession(model, { configEntries: { 'ort_dora.body': '' } }),
};
const [how, model, ...shape] = process.argv.slice(2);
const [layers, heads, headDim, hidden] = shape.map(Number);

const begun = performance.now();
const session = await WAYS[how](model);
const load = performance.now() - begun;
const decode = await timed(feeds({ tokens: 1, past: 64 }));
const prefill = await timed(feeds({ tokens: 64, past: 0 }));
const [, rows, vocabulary] = prefill.logits.dims;
console.log(
  JSON.stringify({
    load,
    decode: decode.milliseconds,
    prefill: prefill.milliseconds,
    ownMegabytes: ownMegabytes(),
    logits: [...prefill.logits.data.subarray((rows - 1) * vocabulary)],
  }),
);

/** Median of a few runs, after one that is not counted. */
async function timed(inputs) {
  const { logits } = await session.run(inputs);
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    await session.run(inputs, ['logits']);
    times.push(performance.now() - start);
  }
  return { milliseconds: median(times), logits };
}

/** Memory that is not a mapped file, of which all processes hold the same pages. */
function ownMegabytes() {
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Math.round(Number(kilobytes) * 1.024e-3);
}

function feeds({ tokens, past }) {
  const cache = () => filled([1, heads, past, headDim]);
  const names = Array.from({ length: layers }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat();
  return {
    inputs_embeds: filled([1, tokens, hidden]),
    attention_mask: new Tensor('int64', new BigInt64Array(past + tokens).fill(1n), [1, past + tokens]),
    position_ids: new Tensor(
      'int64',
      BigInt64Array.from({ length: tokens }, (_, i) => BigInt(past + i)),
      [1, tokens],
    ),
    ...Object.fromEntries(names.map((name) => [`past_key_values.${name}`, cache()])),
  };
}

/** The same values each time, spread over [-1, 1]. */
function filled(dims) {
  const size = dims.reduce((a, b) => a * b, 1);
  return new Tensor(
    'float32',
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * 12.9898)),
    dims,
  );
}
