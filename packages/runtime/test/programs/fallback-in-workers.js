// The main thread and three workers, two sessions each, on whatever runtime there is; prints the first output of each thread.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createSession } from '@ort-dora/runtime';

const model = isMainThread ? JSON.parse(process.argv[2]).model : workerData;
await createSession(model);
const session = await createSession(model);
const { y } = await session.run({ x: { type: 'float32', data: Float32Array.of(1), dims: [1] } });

if (isMainThread) {
  const workers = [1, 2, 3].map(() => new Worker(new URL(import.meta.url), { workerData: model }));
  const others = workers.map(
    (worker) => new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject)),
  );
  console.log([y.data[0], ...(await Promise.all(others))].join());
} else {
  parentPort.postMessage(y.data[0]);
}
