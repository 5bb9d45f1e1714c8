// Leaves while runs are in flight, in the way that the argument says. `workers`: in a worker.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createSession } from '@ort-dora/runtime';

const argument = isMainThread ? JSON.parse(process.argv[2]) : workerData;

async function startRuns() {
  const { model, library, milliseconds } = argument;
  const session = await createSession(model, { ...(library && { customOps: [library] }), intraOpNumThreads: 1 });
  const x = { type: 'float32', data: Float32Array.of(milliseconds ?? 1), dims: [1] };
  // More than there are threads: some run, some wait.
  for (let i = 0; i < 6; i++) session.run({ x }).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 60));
  return session;
}

const ways = {
  async exit() {
    await startRuns();
    process.exit(5);
  },
  async throw() {
    await startRuns();
    throw new Error('on purpose');
  },
  async disposeAndExit() {
    const session = await startRuns();
    session.dispose();
    process.exit(5);
  },
  async sigterm() {
    await startRuns();
    process.kill(process.pid, 'SIGTERM');
  },
  async end() {
    await startRuns();
    process.exitCode = 6;
  },
  async mainExitsUnderWorker() {
    await worker('startRuns');
    process.exit(7);
  },
  async workerExits() {
    const running = await worker('exitInWorker');
    await new Promise((resolve) => running.on('exit', resolve));
    process.exitCode = 8;
  },
};

async function worker(then) {
  const running = new Worker(new URL(import.meta.url), { workerData: { ...argument, then } });
  await new Promise((resolve, reject) => running.on('message', resolve).on('error', reject));
  return running;
}

if (isMainThread) {
  await ways[argument.way]();
} else {
  await startRuns();
  parentPort.postMessage('started');
  if (argument.then === 'exitInWorker') setTimeout(() => process.exit(3), 20);
}
