import { DataType, makeTensor, type TensorProto } from '@ort-dora/onnx';

/** A float32 tensor with its elements in the file. */
export function float32Tensor(name: string, dims: readonly number[], values: Float32Array): TensorProto {
  return makeTensor(name, DataType.FLOAT, dims, values);
}

/** An int64 tensor with its elements in the file. */
export function int64Tensor(name: string, dims: readonly number[], values: readonly number[]): TensorProto {
  return makeTensor(name, DataType.INT64, dims, BigInt64Array.from(values, BigInt));
}
