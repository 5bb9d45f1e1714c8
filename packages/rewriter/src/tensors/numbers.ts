import {
  asElements,
  describeTensor,
  type ElementTypeName,
  elementTypeOf,
  isElementType,
  type TensorProto,
} from '@ort-dora/onnx';
import { floatType, toFloat32 } from './elements.js';

/** Tensors of at most this many elements are read before matching: scalars, axes, shapes. */
export const SMALL_TENSOR_ELEMENTS = 64;

/** Whether a tensor is one of those. */
export function isSmall(tensor: TensorProto): boolean {
  return tensor.dims.reduce((total, dim) => total * dim, 1n) <= SMALL_TENSOR_ELEMENTS;
}

/** Types besides the operators' own that exporters write counters, scalars and shapes in. */
const NUMERIC: ReadonlySet<ElementTypeName> = new Set<ElementTypeName>([
  ...(['float64', 'bool', 'int8', 'uint8', 'int16', 'uint16'] as const),
  ...(['int32', 'uint32', 'int64', 'uint64'] as const),
]);

/** Little-endian elements as numbers; undefined for types that exporters do not count in. */
export function numbersOf(bytes: Uint8Array, dataType: number): readonly number[] | undefined {
  const float = floatType(dataType);
  if (float !== undefined) return Array.from(toFloat32(bytes, float));
  if (!isElementType(dataType)) return undefined;
  const type = elementTypeOf(dataType);
  return NUMERIC.has(type.name) ? Array.from<number | bigint, number>(asElements(bytes, type), Number) : undefined;
}

/** Bytes that a tensor's elements take. */
export function tensorBytes(tensor: TensorProto): number {
  return isElementType(tensor.dataType) ? describeTensor(tensor).byteLength : (tensor.rawData?.length ?? 0);
}
