// Exits at a random moment while many small runs come and go.
import { createSession } from '@ort-dora/runtime';

const { model } = JSON.parse(process.argv[2]);
const session = await createSession(model, { intraOpNumThreads: 2 });
const x = { type: 'float32', data: new Float32Array(8000), dims: [8000] };
const loop = async () => {
  for (;;) await session.run({ x });
};
for (let i = 0; i < 8; i++) loop().catch(() => {});
setTimeout(() => process.exit(9), 10 + Math.random() * 40);
