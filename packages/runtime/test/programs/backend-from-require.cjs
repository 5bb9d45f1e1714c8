// A CommonJS module that uses onnxruntime-common on this package.
const { createSession } = require('@ort-dora/runtime');
const { registerBackend } = require('@ort-dora/runtime/backend');
const { InferenceSession, Tensor } = require('onnxruntime-common');

const { model } = JSON.parse(process.argv[2]);
registerBackend();
(async () => {
  const session = await InferenceSession.create(model);
  const { y } = await session.run({ x: new Tensor('float32', [1, 2], [2]) });
  const { backend } = await createSession(model);
  console.log(backend, y.type, y.data.join(), y instanceof Tensor);
})();
