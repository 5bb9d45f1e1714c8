// Workers that are terminated while they load models, at growing delays.
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const argument = JSON.parse(process.argv[2]);
  for (let i = 0; i < argument.count; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: argument });
    await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
    await sleep(3 * i);
    await worker.terminate();
  }
  console.log('done');
} else {
  const { createSession } = await import('@ort-dora/runtime');
  parentPort.postMessage('loading');
  for (let i = 0; i < 4; i++) createSession(workerData.model).catch(() => {});
}
