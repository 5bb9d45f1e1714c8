/** The norm of a module by DoraScale itself: the operator library's kernel where it is there, else the function's body. */

import { encodeModel } from '@ort-dora/onnx';
import {
  type DoraScaleForm,
  denseNorm,
  type FloatTensor,
  makeOperatorModel,
  type NormCompute,
  type NormRequest,
} from '@ort-dora/rewriter';
import { createSession, RuntimeError, type TensorData } from '@ort-dora/runtime';

/** Any opset that the bodies are written for; ONNX Runtime reads the body at this one. */
const opset = 18;

/**
 * Computes g of each module by a model of one DoraScale node, whose inputs are the module's tensors as they are stored.
 * Weights are read for one module at a time. Where the runtime cannot do it, the rewriter's own float64 computation stands in.
 */
export const computeNorm: NormCompute = async (request) => {
  try {
    return await runDoraScale(request);
  } catch (error) {
    // Slower, but it runs everywhere: stock onnxruntime-node has no bfloat16, for one.
    if (error instanceof RuntimeError) return denseNorm(request);
    throw error;
  }
};

async function runDoraScale(request: NormRequest): Promise<Float32Array> {
  const { weight, loraA, loraB, magnitude, transW, transA, transB, scaling, signal } = request;
  const form: DoraScaleForm = {
    op: 'DoraScale',
    weight: weight.type,
    adapter: loraA.type,
    magnitude: magnitude.type,
    transW,
    transA,
    transB,
  };
  const model = encodeModel(makeOperatorModel(form, { opset, target: 'cpu', scaling }));
  const session = await createSession(model, { logSeverityLevel: 3, ...(signal && { signal }) });
  try {
    const feeds = {
      W: await tensor(weight),
      A: await tensor(loraA),
      B: await tensor(loraB),
      m: { ...(await tensor(magnitude)), dims: [request.outFeatures] },
    };
    const { g } = await session.run(feeds, signal ? { signal } : {});
    return new Float32Array(g!.data as Float32Array);
  } finally {
    await session.dispose();
  }
}

async function tensor(stored: FloatTensor): Promise<TensorData> {
  const bytes = await stored.read();
  const data = new Uint8Array(bytes).buffer;
  const { type, dims } = stored;
  return type === 'float32'
    ? { type, dims, data: new Float32Array(data) }
    : { type, dims, data: new Uint16Array(data) };
}
