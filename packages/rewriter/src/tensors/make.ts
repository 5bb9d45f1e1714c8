import { DataType, makeTensor, type TensorProto } from '@ort-dora/onnx';
import type { StoredTensor } from './stored-tensor.js';

/** A float32 tensor with its elements in the file. */
export function float32Tensor(name: string, dims: readonly number[], values: Float32Array): TensorProto {
  return makeTensor(name, DataType.FLOAT, dims, values);
}

/** An int64 tensor with its elements in the file. */
export function int64Tensor(name: string, dims: readonly number[], values: readonly number[]): TensorProto {
  return makeTensor(name, DataType.INT64, dims, BigInt64Array.from(values, BigInt));
}

/** A tensor of the type and shape of another one, whose elements are still to be put in. */
export function emptyTensor(name: string, { dataType, dims }: Pick<StoredTensor, 'dataType' | 'dims'>): TensorProto {
  return { ...makeTensor(name, dataType, [0], new Uint8Array(0)), dims: dims.map(BigInt), rawData: undefined };
}
