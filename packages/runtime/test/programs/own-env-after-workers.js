// Sessions of the main thread before, between and after workers that use ONNX Runtime and end; stock onnxruntime-node comes and goes too.
import { createRequire } from 'node:module';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { createSession } from '@ort-dora/runtime';

const model = isMainThread ? JSON.parse(process.argv[2]).model : workerData;
const x = { type: 'float32', data: Float32Array.of(1), dims: [1] };
const once = async () => {
  const session = await createSession(model);
  const { y } = await session.run({ x });
  await session.dispose();
  return y.data[0];
};

if (isMainThread) {
  const before = await createSession(model);
  const values = [await once()];
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: model });
    const messages = [];
    worker.on('message', (message) => messages.push(message));
    await new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject));
    values.push(...messages, await once());
  }
  const ort = createRequire(import.meta.url)('onnxruntime-node');
  await (await ort.InferenceSession.create(model)).release();
  values.push(await once(), (await before.run({ x })).y.data[0]);
  console.log(values.join());
} else {
  parentPort.postMessage(await once());
}
