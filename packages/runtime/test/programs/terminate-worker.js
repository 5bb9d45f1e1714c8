// A worker starts six runs and is terminated; prints how long that took in milliseconds.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url), { workerData: JSON.parse(process.argv[2]) });
  await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
  const start = performance.now();
  await worker.terminate();
  console.log((performance.now() - start).toFixed(0));
} else {
  const { createSession } = await import('@ort-dora/runtime');
  const { model, library, milliseconds } = workerData;
  const session = await createSession(model, { customOps: [library], intraOpNumThreads: 1 });
  const x = { type: 'float32', data: Float32Array.of(milliseconds), dims: [1] };
  for (let i = 0; i < 6; i++) session.run({ x }).catch(() => {});
  setTimeout(() => parentPort.postMessage('started'), 50);
}
