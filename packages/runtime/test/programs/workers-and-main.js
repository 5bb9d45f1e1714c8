// The main thread and four workers run at once, each 200 times; prints what each computed of its own number.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createSession } from '@ort-dora/runtime';

const argument = isMainThread ? { ...JSON.parse(process.argv[2]), id: 1 } : workerData;

async function compute({ model, library, id }) {
  const session = await createSession(model, { customOps: [library], intraOpNumThreads: 1 });
  const seen = new Set();
  for (let i = 0; i < 100; i++) {
    const x = { type: 'float32', data: new Float32Array(5000).fill(id), dims: [5000] };
    const [a, b] = await Promise.all([session.run({ x }), session.run({ x })]);
    for (const { y } of [a, b]) seen.add(y.data[4999]);
  }
  return [...seen].join('|');
}

if (isMainThread) {
  const workers = [2, 3, 4, 5].map((id) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...argument, id } });
    return new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
  });
  console.log((await Promise.all([compute(argument), ...workers])).join());
} else {
  parentPort.postMessage(await compute(argument));
}
