import { describeTensor, inlineBytes, isElementType, isExternal, type TensorProto } from '@ort-dora/onnx';
import type { StoredTensor } from './stored-tensor.js';

/** The data of a tensor that is in the model's own file; undefined for external ones and strings. */
export function inlineTensor(tensor: TensorProto): StoredTensor | undefined {
  if (isExternal(tensor) || !isElementType(tensor.dataType)) return undefined;
  const { name, type, dims, byteLength } = describeTensor(tensor);
  if (type.name === 'string') return undefined;
  return {
    name,
    dataType: type.dataType,
    dims,
    byteLength,
    read: async (start = 0, end = byteLength) => inlineBytes(tensor).subarray(start, end),
  };
}
