import { DataType, type TensorProto } from '@ort-dora/onnx';
import { floatType, toFloat64 } from './elements.js';

/** Tensors of at most this many elements are read before matching: scalars, axes, shapes. */
export const SMALL_TENSOR_ELEMENTS = 64;

/** Whether a tensor is one of those. */
export function isSmall(tensor: TensorProto): boolean {
  return tensor.dims.reduce((total, dim) => total * dim, 1n) <= SMALL_TENSOR_ELEMENTS;
}

/** Little-endian elements as numbers; undefined for types that are no numbers, and integers that are not safe ones. */
export function numbersOf(bytes: Uint8Array, dataType: number): readonly number[] | undefined {
  const type = floatType(dataType);
  if (type !== undefined) return [...toFloat64(bytes, type)];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = READERS.get(dataType);
  if (read === undefined) return undefined;
  const [size, get] = read;
  return Array.from({ length: Math.floor(bytes.byteLength / size) }, (_, index) => get(view, index * size));
}

const READERS: ReadonlyMap<number, readonly [size: number, get: (view: DataView, at: number) => number]> = new Map([
  [DataType.DOUBLE, [8, (view, at) => view.getFloat64(at, true)]],
  [DataType.BOOL, [1, (view, at) => view.getUint8(at)]],
  [DataType.UINT8, [1, (view, at) => view.getUint8(at)]],
  [DataType.INT8, [1, (view, at) => view.getInt8(at)]],
  [DataType.UINT16, [2, (view, at) => view.getUint16(at, true)]],
  [DataType.INT16, [2, (view, at) => view.getInt16(at, true)]],
  [DataType.INT32, [4, (view, at) => view.getInt32(at, true)]],
  [DataType.UINT32, [4, (view, at) => view.getUint32(at, true)]],
  [DataType.INT64, [8, (view, at) => Number(view.getBigInt64(at, true))]],
  [DataType.UINT64, [8, (view, at) => Number(view.getBigUint64(at, true))]],
] as const);

/** Bytes that a tensor's elements take, as its type and shape say; strings count as nothing. */
export function tensorBytes({ dims, dataType = 0 }: TensorProto): number {
  const elements = Number(dims.reduce((total, dim) => total * dim, 1n));
  return Math.ceil((elements * (ELEMENT_BITS.get(dataType) ?? 0)) / 8);
}

const ELEMENT_BITS: ReadonlyMap<number, number> = new Map<number, number>([
  ...bits(64, [DataType.DOUBLE, DataType.INT64, DataType.UINT64, DataType.COMPLEX64]),
  ...bits(32, [DataType.FLOAT, DataType.INT32, DataType.UINT32]),
  ...bits(16, [DataType.FLOAT16, DataType.BFLOAT16, DataType.INT16, DataType.UINT16]),
  ...bits(8, [DataType.INT8, DataType.UINT8, DataType.BOOL, DataType.FLOAT8E4M3FN, DataType.FLOAT8E4M3FNUZ]),
  ...bits(8, [DataType.FLOAT8E5M2, DataType.FLOAT8E5M2FNUZ, DataType.FLOAT8E8M0]),
  ...bits(4, [DataType.UINT4, DataType.INT4, DataType.FLOAT4E2M1]),
  [DataType.COMPLEX128, 128],
]);

function bits(count: number, types: readonly number[]): (readonly [number, number])[] {
  return types.map((type) => [type, count]);
}
