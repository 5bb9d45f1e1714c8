// Ends while a run of CUDA graphs is in flight, in the way that argv[3] says; started by cuda.js.
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { createSession, NativeTensor } from '@ort-dora/runtime';

const [model, way] = isMainThread ? process.argv.slice(2) : workerData;
if (isMainThread && way === 'workerTerminated') {
  const worker = new Worker(new URL(import.meta.url), { workerData: [model, 'forever'] });
  await new Promise((resolve) => worker.once('message', resolve));
  await worker.terminate();
} else {
  const { parentPort } = await import('node:worker_threads');
  const session = await createSession(model, { providers: [{ name: 'cuda', graphs: true }] });
  const x = NativeTensor.allocate('float32', [1 << 20], { device: 'cuda:0' });
  const y = NativeTensor.allocate('float32', [1 << 20], { device: 'cuda:0' });
  const [first, second] = [session.bind({ x }, { y }, { graph: true }), session.bind({ x }, { y }, { graph: true })];
  await first.run();
  parentPort?.postMessage('running');
  const loop = async (bound) => {
    for (;;) await bound.run();
  };
  const loops = [loop(first), loop(second)];
  if (way === 'exit') setTimeout(() => process.exit(0), 50);
  else if (way === 'disposeAndExit') setTimeout(() => void session.dispose().then(() => process.exit(0)), 50);
  else if (way === 'throw') {
    setTimeout(() => {
      throw new Error('on purpose');
    }, 50);
  }
  await Promise.all(loops);
}
