// Growth of RSS in megabytes over the second half of many runs, and of many sessions that are made and disposed.
import { createSession } from '@ort-dora/runtime';

const { model, runs, cycles } = JSON.parse(process.argv[2]);
const options = { intraOpNumThreads: 1, customOps: 'off' };
const x = { type: 'float32', data: new Float32Array(2000), dims: [2000] };

async function growth(count, step) {
  const half = async () => {
    for (let i = 0; i < count / 2; i++) await step();
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
    return process.memoryUsage.rss() / 2 ** 20;
  };
  const before = await half();
  return (await half()) - before;
}

const session = await createSession(model, options);
const ofRuns = await growth(runs, () => session.run({ x }));
const ofCycles = await growth(cycles, async () => {
  const each = await createSession(model, options);
  await each.run({ x });
  await each.dispose();
});
console.log(JSON.stringify({ runs: ofRuns, cycles: ofCycles }));
