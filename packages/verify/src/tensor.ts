/** Tensors as typed arrays, and their values as float64 whatever they are stored in. */

import type { ElementArray } from '@ort-dora/onnx';
import { bfloat16ToNumber, float16ToNumber, numberToBfloat16, numberToFloat16 } from './half.js';

const storages = {
  float32: Float32Array,
  float64: Float64Array,
  /** float16 and bfloat16 are kept as their bits. */
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** Element types, named as onnxruntime-common names them. */
export type ElementType = keyof typeof storages;

/** A tensor in row-major order. */
export interface TensorData {
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly data: ElementArray;
}

export const isElementType = (type: string): type is ElementType => Object.hasOwn(storages, type);

export const isFloatType = (type: string) => /^b?float\d/.test(type);

export const isHalfType = (type: string) => type === 'float16' || type === 'bfloat16';

/** The typed array that holds elements of this type. */
export const storageOf = (type: ElementType) => storages[type];

export const elementCount = (dims: readonly number[]) => dims.reduce((count, dim) => count * dim, 1);

/** Half the distance from 1 to the next number of this type: the most that one rounding changes, relatively. 0 for integers. */
export function unitRoundoff(type: ElementType): number {
  switch (type) {
    case 'float64':
      return 2 ** -53;
    case 'float32':
      return 2 ** -24;
    case 'float16':
      return 2 ** -11;
    case 'bfloat16':
      return 2 ** -8;
    default:
      return 0;
  }
}

/** The values of a tensor in float64 (64-bit integers to the nearest). */
export function toFloat64(tensor: Pick<TensorData, 'type' | 'data'>): Float64Array {
  const { type, data } = tensor;
  if (data instanceof Float64Array) return data;
  if (type === 'float16') return Float64Array.from(data as Uint16Array, float16ToNumber);
  if (type === 'bfloat16') return Float64Array.from(data as Uint16Array, bfloat16ToNumber);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const out = new Float64Array(data.length);
    for (let i = 0; i < data.length; i++) out[i] = Number(data[i]);
    return out;
  }
  return Float64Array.from(data);
}

/** A tensor of the given type from float64 values, each rounded once. Integers are expected to fit. */
export function fromFloat64(type: ElementType, dims: readonly number[], values: ArrayLike<number>): TensorData {
  if (type === 'int64' || type === 'uint64') {
    const data = type === 'int64' ? new BigInt64Array(values.length) : new BigUint64Array(values.length);
    for (let i = 0; i < values.length; i++) data[i] = BigInt(Math.trunc(values[i]!));
    return { type, dims, data };
  }
  const data = new storages[type](values.length);
  const encode =
    type === 'float16' ? numberToFloat16 : type === 'bfloat16' ? numberToBfloat16 : (value: number) => value;
  for (let i = 0; i < values.length; i++) data[i] = encode(values[i]!);
  return { type, dims, data };
}
