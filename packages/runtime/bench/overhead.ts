// What a run costs besides the model: a tiny model on this package and on stock onnxruntime-node, in alternating blocks of one process.
//   npm run bench -w @ort-dora/runtime [-- --blocks N --runs N]
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { createSession, NativeTensor } from '@ort-dora/runtime';
import { BACKEND_NAME, registerBackend } from '@ort-dora/runtime/backend';
import { increment } from '../test/support/models.js';
import { writeResult } from './result.js';

const { values } = parseArgs({
  options: { blocks: { type: 'string', default: '15' }, runs: { type: 'string', default: '2000' } },
});
const blocks = Number(values.blocks);
const runs = Number(values.runs);

const ort = createRequire(import.meta.url)('onnxruntime-node') as typeof import('onnxruntime-common');
const oneThread = { intraOpNumThreads: 1, interOpNumThreads: 1 };
const model = increment();
registerBackend({ priority: -1 });
const stock = await ort.InferenceSession.create(model, oneThread);
const common = await ort.InferenceSession.create(model, { ...oneThread, executionProviders: [BACKEND_NAME] });
const own = await createSession(model, oneThread);

function float32(length: number) {
  return { type: 'float32', data: new Float32Array(length), dims: [length] } as const;
}
function stockFeeds({ type, data, dims }: ReturnType<typeof float32>) {
  return { x: new ort.Tensor(type, data, dims) };
}
const small = float32(64);
const large = float32(250_000);
const target = float32(250_000);
const native = NativeTensor.from(small);
const { signal } = new AbortController();
const times = (count: number, run: () => Promise<unknown>) => Promise.all(Array.from({ length: count }, run));

interface Case {
  readonly run: () => unknown;
  /** Runs of the model in one call. */
  readonly atOnce?: number;
  /** Blocks are that much shorter. */
  readonly slow?: number;
}
const cases: Record<string, Case> = {
  'stock run': { run: () => stock.run(stockFeeds(small)) },
  runSync: { run: () => own.runSync({ x: small }) },
  run: { run: () => own.run({ x: small }) },
  'run with a signal': { run: () => own.run({ x: small }, { signal }) },
  'run, native tensor in and out': {
    run: async () => {
      const { y } = await own.run({ x: native }, { fetches: { y: 'native' } });
      (y as NativeTensor).dispose();
    },
  },
  'run through onnxruntime-common': { run: () => common.run(stockFeeds(small)) },
  '32 stock runs at once': { run: () => times(32, () => stock.run(stockFeeds(small))), atOnce: 32 },
  '32 runs at once': { run: () => times(32, () => own.run({ x: small })), atOnce: 32 },
  '1 MB in and out, stock run': { run: () => stock.run(stockFeeds(large)), slow: 10 },
  '1 MB in and out, runSync': { run: () => own.runSync({ x: large }), slow: 10 },
  '1 MB in and out, run': { run: () => own.run({ x: large }), slow: 10 },
  '1 MB in and out, run into a given tensor': {
    run: () => own.run({ x: large }, { fetches: { y: target } }),
    slow: 10,
  },
};

const measured = new Map(Object.keys(cases).map((name) => [name, [] as number[]]));
for (let block = 0; block < blocks; block++) {
  for (const [name, { run, atOnce = 1, slow = 1 }] of Object.entries(cases)) {
    const calls = Math.ceil(runs / atOnce / slow);
    const start = performance.now();
    for (let i = 0; i < calls; i++) await run();
    measured.get(name)!.push(((performance.now() - start) * 1000) / (calls * atOnce));
  }
}

const microseconds = Object.fromEntries(
  [...measured].map(([name, all]) => {
    const sorted = all.toSorted((a, b) => a - b).map((value) => Number(value.toFixed(1)));
    return [name, { median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! }];
  }),
);
console.table(microseconds);
const median = (name: string) => microseconds[name]!.median;
writeResult('runtime-overhead', `npm run bench -w @ort-dora/runtime -- --blocks ${blocks} --runs ${runs}`, {
  description:
    'microseconds a run: float32 [64] (or 1 MB) in and out, y = x + 1, one thread; alternating blocks, median, least and most',
  blocks,
  runsPerBlock: runs,
  microseconds,
  runSyncBelowStock: median('runSync') < median('stock run'),
  runAboveStock: Number((median('run') - median('stock run')).toFixed(1)),
});
