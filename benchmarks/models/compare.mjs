// `node benchmarks/models/compare.mjs FOLDER > FILE`: the unmerged graph, fed the tokens that PEFT chose (peft_logits.py): how far its logits, of
// the prompt and of every step after it, are from PEFT's and from float32's. FILE is JSON.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSession, describeCuda, loadInitializers, NativeTensor } from '@ort-dora/runtime';
import { HEAD_DIM, KV_HEADS, LAYERS, VOCABULARY, wide } from './decoder.mjs';

const folder = process.argv[2] ?? '.';
const LONGEST = 1024;
const device = 'cuda:0';

const { prompt, tokens } = JSON.parse(readFileSync(join(folder, 'peft.json'), 'utf8'));
const peft = logitsOf('peft.bin');
const exact = logitsOf('peft32.bin');

const model = join(folder, 'unmerged.onnx');
const session = await createSession(model, {
  providers: [{ name: 'cuda', graphs: true }],
  initializers: await loadInitializers(model, { device, atLeast: 1024 }),
  logSeverityLevel: 3,
});
const cache = Object.fromEntries(
  Array.from({ length: LAYERS }, (_, layer) => ['key', 'value'].map((kind) => `${layer}.${kind}`))
    .flat()
    .map((name) => [name, NativeTensor.allocate('bfloat16', [1, KV_HEADS, LONGEST, HEAD_DIM], { device })]),
);
const logits = NativeTensor.allocate('bfloat16', [1, 1, VOCABULARY], { device });

const steps = peft.length;
const rows = [];
const first = bound(prompt, false);
first.feed(tokens.slice(0, prompt), prompt);
first.run.runSync();
rows.push(wide(logits.readSync()));
// One graph for all steps: the kernel takes each row's length from seqlens_k, on the device.
const next = bound(1, true);
for (let step = 1; step < steps; step++) {
  next.feed([tokens[prompt + step - 1]], prompt + step);
  next.run.runSync();
  rows.push(wide(logits.readSync()));
}
await session.dispose();

const summary = rows.map((row, step) => ({
  toPeft: cosine(row, peft[step]),
  toExact: cosine(row, exact[step]),
  peftToExact: cosine(peft[step], exact[step]),
  sameToken: argmax(row) === argmax(peft[step]),
  lead: lead(peft[step]),
}));
const least = (field) => Math.min(...summary.map((row) => row[field]));
const differing = summary.filter(({ sameToken }) => !sameToken);
console.log(
  JSON.stringify(
    {
      description:
        'cosines of logits over the steps of greedy decoding that PEFT chose; a lead is of the best logit over the second, by its size',
      commit: process.env.COMMIT ?? null,
      device: describeCuda().devices[0],
      steps,
      prefill: summary[0],
      leastCosine: { toPeft: least('toPeft'), toFloat32: least('toExact'), ofPeftToFloat32: least('peftToExact') },
      sameTokens: summary.length - differing.length,
      leadsOfOtherTokens: differing.map(({ lead }) => lead),
    },
    null,
    1,
  ),
);

function bound(count, graph) {
  const input_ids = NativeTensor.allocate('int64', [1, count], { device });
  const seqlens_k = NativeTensor.allocate('int32', [1], { device });
  const total_sequence_length = NativeTensor.from({
    type: 'int32',
    data: Int32Array.of(graph ? LONGEST : count),
    dims: [1],
  });
  const past = Object.fromEntries(Object.entries(cache).map(([name, at]) => [`past_key_values.${name}`, at]));
  const present = Object.fromEntries(Object.entries(cache).map(([name, at]) => [`present.${name}`, at]));
  const run = session.bind({ input_ids, seqlens_k, total_sequence_length, ...past }, { logits, ...present }, { graph });
  const feed = (ids, seen) => {
    input_ids.copyFromSync({ type: 'int64', data: BigInt64Array.from(ids, BigInt), dims: [1, count] });
    seqlens_k.copyFromSync({ type: 'int32', data: Int32Array.of(seen - 1), dims: [1] });
  };
  return { run, feed };
}

function logitsOf(file) {
  const bytes = readFileSync(join(folder, file));
  const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  return Array.from({ length: all.length / VOCABULARY }, (_, i) => all.subarray(i * VOCABULARY, (i + 1) * VOCABULARY));
}

function cosine(a, b) {
  let dot = 0;
  let aa = 0;
  let bb = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return dot / Math.sqrt(aa * bb);
}

function argmax(row) {
  return row.reduce((best, value, i) => (value > row[best] ? i : best), 0);
}

/** By how much the best token leads, of the largest logit. */
function lead(row) {
  const best = argmax(row);
  const second = row.reduce((most, value, i) => (i !== best && value > most ? value : most), Number.NEGATIVE_INFINITY);
  return (row[best] - second) / Math.abs(row[best]);
}
