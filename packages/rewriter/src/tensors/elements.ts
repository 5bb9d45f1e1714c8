import { DataType, toFloat32 as decodeFloat32, elementTypeOf } from '@ort-dora/onnx';
import type { FloatType } from '../functions/form.js';

/** The operators' element types as numbered by TensorProto.DataType. */
export const DATA_TYPE: Readonly<Record<FloatType | 'int32', number>> = {
  float32: DataType.FLOAT,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
  int32: DataType.INT32,
};

const FLOAT_TYPE: ReadonlyMap<number, FloatType> = new Map([
  [DataType.FLOAT, 'float32'],
  [DataType.FLOAT16, 'float16'],
  [DataType.BFLOAT16, 'bfloat16'],
]);

/** The operators' element type of that number, or undefined for any other. */
export function floatType(dataType: number | undefined): FloatType | undefined {
  return dataType === undefined ? undefined : FLOAT_TYPE.get(dataType);
}

/** Little-endian elements as float32: exact for all three types. A view of `bytes` where they are float32 already. */
export function toFloat32(bytes: Uint8Array, type: FloatType): Float32Array {
  return decodeFloat32(bytes, elementTypeOf(DATA_TYPE[type]));
}

/** Little-endian elements as float64: exact for all three types. */
export function toFloat64(bytes: Uint8Array, type: FloatType): Float64Array {
  return new Float64Array(toFloat32(bytes, type));
}
