// A run whose input nothing refers to any more, while the collector works; prints how often the kernel saw the input change.
import { setTimeout as sleep } from 'node:timers/promises';
import { createSession } from '@ort-dora/runtime';

const { model, library } = JSON.parse(process.argv[2]);
const session = await createSession(model, { customOps: [library] });

function start() {
  const data = new Float32Array(1 << 18).fill(7);
  data[0] = 400;
  return session.run({ x: { type: 'float32', data, dims: [data.length] } });
}

const run = start();
for (let i = 0; i < 20; i++) {
  globalThis.gc();
  new Float32Array(1 << 18).fill(9);
  await sleep(10);
}
console.log((await run).y.data[0]);
