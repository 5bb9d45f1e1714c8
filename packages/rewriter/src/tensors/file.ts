import { describeTensor, isElementType, type ModelFile, type TensorProto } from '@ort-dora/onnx';
import type { StoredTensor } from './stored-tensor.js';

/** The tensors of an opened model, inline and external, read by range. Strings are none of ours. */
export function fileTensors(file: ModelFile): (tensor: TensorProto) => StoredTensor | undefined {
  return (tensor) => {
    if (!isElementType(tensor.dataType)) return undefined;
    const { name, type, dims, byteLength } = describeTensor(tensor);
    if (type.name === 'string') return undefined;
    return {
      name,
      dataType: type.dataType,
      dims,
      byteLength,
      read: (start = 0, end = byteLength, into) =>
        file.readBytes(tensor, { offset: start, length: end - start, ...(into && { into }) }),
    };
  };
}
