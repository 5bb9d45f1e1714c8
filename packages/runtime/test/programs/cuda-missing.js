// What a session that wants CUDA says where there is none, and that sessions on the CPU work on; prints JSON.
import { createSession, describeCuda } from '@ort-dora/runtime';

const { model } = JSON.parse(process.argv[2]);
const said = await createSession(model, { providers: [{ name: 'cuda' }] }).catch((error) => error);
const session = await createSession(model);
const { y } = await session.run({ x: { type: 'float32', data: Float32Array.of(1, 2), dims: [2] } });
console.log(
  JSON.stringify({
    code: said.code,
    message: said.message,
    folder: describeCuda().provider.folder,
    cpu: [...y.data],
  }),
);
