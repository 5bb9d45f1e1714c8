// Whether memory grows: RSS over many runs, and over many sessions that are created, run and disposed.
//   npm run soak -w @ort-dora/runtime [-- --runs N --cycles N --limit PERCENT --no-result]
// Exits with 1 if RSS grows by more than LIMIT percent between the medians of the first and of the last quarter.
import { parseArgs } from 'node:util';
import { createSession, type NativeTensor } from '@ort-dora/runtime';
import { increment } from '../test/support/models.js';
import { writeResult } from './result.js';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '100000' },
    cycles: { type: 'string', default: '2000' },
    limit: { type: 'string', default: '5' },
    'no-result': { type: 'boolean', default: false },
  },
});
const limit = Number(values.limit);
const model = increment();
// No op library: what one keeps of each registration is its own matter.
const options = { intraOpNumThreads: 1, customOps: 'off' } as const;
const x = { type: 'float32', data: new Float32Array(64), dims: [64] } as const;

/** Calls beforehand, as a part of the count: V8 compiles and its heap takes its size. */
const WARM_UP = 0.05;

/** Calls `step` so many times and samples RSS 200 times on the way. */
async function sample(count: number, step: () => Promise<void>) {
  for (let i = 0; i < count * WARM_UP; i++) await step();
  const every = Math.max(1, Math.floor(count / 200));
  const megabytes: number[] = [];
  for (let i = 0; i < count; i++) {
    await step();
    if (i % every !== 0) continue;
    // Without JavaScript's own garbage, which is collected when V8 sees fit.
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
    megabytes.push(process.memoryUsage.rss() / 2 ** 20);
  }
  const quarter = megabytes.length >> 2;
  const first = median(megabytes.slice(0, quarter));
  const last = median(megabytes.slice(-quarter));
  const growthPercent = Number(((last / first - 1) * 100).toFixed(2));
  return { count, firstQuarterMegabytes: round(first), lastQuarterMegabytes: round(last), growthPercent };
}

const session = await createSession(model, options);
const results = {
  runs: await sample(Number(values.runs), async () => {
    await session.run({ x });
  }),
  nativeRuns: await sample(Number(values.runs) / 10, async () => {
    const { y } = await session.run({ x }, { fetches: { y: 'native' } });
    (y as NativeTensor).dispose();
  }),
  failingRuns: await sample(Number(values.runs) / 10, async () => {
    await session.run({ x: { ...x, data: new Float32Array(3) } }).catch(() => {});
  }),
  cycles: await sample(Number(values.cycles), async () => {
    const each = await createSession(model, options);
    await each.run({ x });
    await each.dispose();
  }),
};
await session.dispose();
console.table(results);
if (!values['no-result']) {
  const command = `npm run soak -w @ort-dora/runtime -- --runs ${values.runs} --cycles ${values.cycles}`;
  writeResult('runtime-soak', command, {
    description:
      'RSS after a collection: medians of the first and the last quarter of 200 samples, after a warm-up of 5 %; no op library',
    ...results,
  });
}
const worst = Math.max(...Object.values(results).map(({ growthPercent }) => growthPercent));
if (worst >= limit) {
  console.error(`RSS grew by ${worst} %, the limit is ${limit} %`);
  process.exitCode = 1;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!;
}

function round(value: number): number {
  return Number(value.toFixed(1));
}
