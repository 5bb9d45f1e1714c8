/** Rewriting models in memory. */
import { decodeModel, encodeModel, type ModelProto } from '@ort-dora/onnx';
import type { RewriteOptions, RewriteReport } from '../../src/index.js';
import { rewriteModelProto } from '../../src/rewrite/rewrite-proto.js';
import { inlineTensor } from '../../src/tensors/inline.js';

/** A rewritten copy of a model whose tensors are all in the file. */
export async function rewritten(
  model: ModelProto,
  options: RewriteOptions = {},
): Promise<{ readonly model: ModelProto; readonly report: RewriteReport }> {
  const copy = decodeModel(encodeModel(model));
  const report = await rewriteModelProto(copy, inlineTensor, 'model.onnx', options);
  return { model: copy, report };
}
