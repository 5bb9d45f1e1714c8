// Rounds of workers that each load the addon, run and end, while the main thread never loads it.
import { readFileSync } from 'node:fs';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

if (isMainThread) {
  const { model, library, rounds } = JSON.parse(process.argv[2]);
  for (let round = 0; round < rounds; round++) {
    const sums = await Promise.all([1, 2, 3, 4].map((id) => inWorker({ model, library, id })));
    if (sums.join() !== '100,200,300,400') throw new Error(`wrong sums: ${sums}`);
  }
  console.log(/ort_dora_runtime\.node/.test(readFileSync('/proc/self/maps', 'utf8')) ? 'mapped' : 'gone');
} else {
  const { createSession } = await import('@ort-dora/runtime');
  const session = await createSession(workerData.model, { customOps: [workerData.library], intraOpNumThreads: 1 });
  let sum = 0;
  for (let i = 0; i < 50; i++) {
    const x = { type: 'float32', data: new Float32Array(2).fill(workerData.id), dims: [2] };
    const [{ y }, blocking] = [await session.run({ x }), session.runSync({ x })];
    sum += y.data[0] - 1 + blocking.y.data[1] - 1;
  }
  parentPort.postMessage(sum);
}

function inWorker(data) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: data });
    let sum;
    worker.on('message', (message) => {
      sum = message;
    });
    worker.on('error', reject);
    worker.on('exit', (code) => (code === 0 ? resolve(sum) : reject(new Error(`worker exit code ${code}`))));
  });
}
