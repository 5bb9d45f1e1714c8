// `node benchmarks/models/measure.mjs FOLDER [--variants a,b] [--layers N] [--rounds N] [--work 0,2] [--launched] [--json FILE]`: the graphs of FOLDER (export.py, variants.py, with weights.bin
// by weights.py) side by side on one GPU, in one process: decode steps replayed from CUDA graphs and a prefill, in turns; the weights are
// loaded once for all of them. Prints a table; writes the figures, with what they were made on, as JSON. `--launched`: without CUDA graphs.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createSession, cudaMemory, describeCuda, loadInitializers, NativeTensor } from '@ort-dora/runtime';
import { HEAD_DIM, KV_HEADS, LAYERS, VOCABULARY, wide } from './decoder.mjs';

const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    variants: { type: 'string', default: 'unmerged,merged,merged-in-out,merged-kernel' },
    layers: { type: 'string', default: String(LAYERS) },
    rounds: { type: 'string', default: '9' },
    work: { type: 'string', default: '0,1,2' },
    launched: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const folder = positionals[0] ?? '.';
const variants = options.variants.split(',');
const layers = Number(options.layers);
const rounds = Number(options.rounds);
const GPU = 'cuda:0';
const GIB = 2 ** 30;

/** `context`: tokens in the buffers before the step; `steps`: runs in a row, of which a round takes the mean. */
const ALL_WORK = [
  { name: 'decode, batch 1, context 1024', batch: 1, tokens: 1, context: 1024, longest: 2048, graph: true, steps: 20 },
  { name: 'decode, batch 16, context 512', batch: 16, tokens: 1, context: 512, longest: 1024, graph: true, steps: 20 },
  { name: 'prefill of 4096', batch: 1, tokens: 4096, context: 0, longest: 4096, graph: false, steps: 1 },
];
const WORK = options.work.split(',').map((i) => ALL_WORK[Number(i)]);

const used = () => cudaMemory().total - cudaMemory().free;
const clocks = () => nvidiaSmi('clocks.sm,clocks.mem,temperature.gpu,power.draw');
const tensor = (type, dims, value = 0, device = GPU) => {
  const made = NativeTensor.allocate(type, dims, { device });
  if (value !== 0) {
    const Class = type === 'int64' ? BigInt64Array : Int32Array;
    const count = dims.reduce((product, dim) => product * dim, 1);
    made.copyFromSync({ type, data: new Class(count).fill(type === 'int64' ? BigInt(value) : value), dims });
  }
  return made;
};

const before = used();
let start = performance.now();
const weights = await loadInitializers(join(folder, `${variants[0]}.onnx`), { device: GPU, atLeast: 1024 });
const loadSeconds = (performance.now() - start) / 1000;
const weightBytes = used() - before;
// Only time is asked: the same bytes, read as [in, out].
const inOut = Object.fromEntries(
  Object.entries(weights)
    .filter(([name]) => name.endsWith('.base_layer.weight'))
    .map(([name, weight]) => [`${name}.in_out`, weight.reshape(weight.dims.toReversed())]),
);

const buffers = WORK.map(({ batch, tokens, context, longest }) => {
  const ids = Array.from({ length: batch * tokens }, (_, i) => (i * 7919) % VOCABULARY);
  const input = tensor('int64', [batch, tokens]);
  input.copyFromSync({ type: 'int64', data: BigInt64Array.from(ids, BigInt), dims: [batch, tokens] });
  const past = Array.from({ length: 2 * layers }, () => tensor('bfloat16', [batch, KV_HEADS, longest, HEAD_DIM]));
  return {
    inputs: {
      input_ids: input,
      seqlens_k: tensor('int32', [batch], context + tokens - 1),
      total_sequence_length: tensor('int32', [1], context + tokens, 'cpu'),
    },
    logits: tensor('bfloat16', [batch, 1, VOCABULARY]),
    cache: past.map((at, i) => [`${i >> 1}.${i % 2 === 0 ? 'key' : 'value'}`, at]),
  };
});

const sessions = {};
const memory = {};
for (const variant of variants) {
  start = performance.now();
  const session = await createSession(join(folder, `${variant}.onnx`), {
    providers: [{ name: 'cuda', graphs: !options.launched, arenaGrowth: 'as-requested' }],
    initializers: { ...weights, ...inOut },
    logSeverityLevel: 3,
  });
  const seconds = (performance.now() - start) / 1000;
  const runs = WORK.map(({ graph }, i) => {
    const { inputs, logits, cache } = buffers[i];
    const past = Object.fromEntries(cache.map(([name, at]) => [`past_key_values.${name}`, at]));
    const present = Object.fromEntries(cache.map(([name, at]) => [`present.${name}`, at]));
    return session.bind({ ...inputs, ...past }, { logits, ...present }, { graph: graph && !options.launched });
  });
  start = performance.now();
  for (const run of runs) run.runSync();
  const finite = buffers.map(({ logits }) => checksum(logits.readSync()));
  sessions[variant] = runs;
  memory[variant] = used();
  console.error(
    `${variant}: session ${seconds.toFixed(1)} s, first runs ${((performance.now() - start) / 1000).toFixed(1)} s, ` +
      `${(used() / GIB).toFixed(2)} GiB in use; logits ${finite.join(', ')}`,
  );
}

const times = {};
const clocksBefore = clocks();
for (const [i, { name, steps }] of WORK.entries()) {
  times[name] = Object.fromEntries(variants.map((variant) => [variant, []]));
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants) {
      const run = sessions[variant][i];
      run.runSync();
      start = performance.now();
      for (let step = 0; step < steps; step++) run.runSync();
      times[name][variant].push((performance.now() - start) / steps);
    }
  }
}

const table = Object.fromEntries(
  Object.entries(times).map(([name, byVariant]) => [
    name,
    Object.fromEntries(Object.entries(byVariant).map(([variant, all]) => [variant, Number(median(all).toFixed(3))])),
  ]),
);
console.table(table);
const cacheBytes = WORK.reduce(
  (sum, { batch, longest }) => sum + 2 * layers * batch * KV_HEADS * longest * HEAD_DIM * 2,
  0,
);
const first = memory[variants[0]];
console.log(
  `${variants[0]} alone: ${(first / GIB).toFixed(2)} GiB in use, of which weights and adapters ${(weightBytes / GIB).toFixed(2)}, caches ` +
    `${(cacheBytes / GIB).toFixed(2)}, before anything ${(before / GIB).toFixed(2)}`,
);
if (options.json !== undefined) {
  const result = {
    description:
      'milliseconds a step, median of the rounds; Qwen3-8B’s text shape, DoRA of rank 384 on 252 modules, bfloat16',
    commit: process.env.COMMIT ?? null,
    device: describeCuda().devices[0],
    driver: nvidiaSmi('driver_version'),
    clocks: { before: clocksBefore, after: clocks() },
    loadSeconds,
    gib: { weights: weightBytes / GIB, caches: cacheBytes / GIB, before: before / GIB, inUse: first / GIB },
    milliseconds: table,
    rounds: times,
  };
  writeFileSync(options.json, `${JSON.stringify(result, null, 1)}\n`);
}

function median(all) {
  return all.toSorted((a, b) => a - b)[all.length >> 1];
}

/** Of bfloat16 bits: the largest element and the mean size, to see that something was computed. */
function checksum(bits) {
  const values = wide(bits);
  let largest = 0;
  let sum = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) return 'not finite';
    largest = Math.max(largest, Math.abs(value));
    sum += Math.abs(value);
  }
  return `${largest.toFixed(2)}/${(sum / values.length).toFixed(3)}`;
}

function nvidiaSmi(query) {
  try {
    return execFileSync('nvidia-smi', [`--query-gpu=${query}`, '--format=csv,noheader'])
      .toString()
      .trim();
  } catch {
    return null;
  }
}
