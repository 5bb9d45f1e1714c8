// An ES module that uses onnxruntime-common on this package.
import { createSession } from '@ort-dora/runtime';
import { registerBackend } from '@ort-dora/runtime/backend';
import { InferenceSession, Tensor } from 'onnxruntime-common';

const { model } = JSON.parse(process.argv[2]);
registerBackend();
const session = await InferenceSession.create(model);
const { y } = await session.run({ x: new Tensor('float32', [1, 2], [2]) });
const { backend } = await createSession(model);
console.log(backend, y.type, y.data.join(), y instanceof Tensor);
