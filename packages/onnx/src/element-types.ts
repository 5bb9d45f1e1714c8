import { OnnxError } from './errors.js';
import { DataType } from './messages.js';

/** Names as onnxruntime-common has them, where it has one. */
export type ElementTypeName =
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'float64'
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint32'
  | 'uint64'
  | 'bool'
  | 'string'
  | 'complex64'
  | 'complex128'
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'float8e8m0'
  | 'uint4'
  | 'int4'
  | 'float4e2m1'
  | 'uint2'
  | 'int2'
  | 'float6e2m3'
  | 'float6e3m2';

export interface ElementType {
  /** {@link DataType}. */
  readonly dataType: number;
  readonly name: ElementTypeName;
  /** Bits of one element in raw data; 0 for strings, which have none. Elements below 8 bits are packed, lowest first. */
  readonly bits: number;
  /** The tensor's field that holds elements which are not in `rawData`. */
  readonly field: 'floatData' | 'int32Data' | 'int64Data' | 'doubleData' | 'uint64Data' | 'stringData';
}

const TYPES: readonly ElementType[] = [
  { dataType: DataType.FLOAT, name: 'float32', bits: 32, field: 'floatData' },
  { dataType: DataType.UINT8, name: 'uint8', bits: 8, field: 'int32Data' },
  { dataType: DataType.INT8, name: 'int8', bits: 8, field: 'int32Data' },
  { dataType: DataType.UINT16, name: 'uint16', bits: 16, field: 'int32Data' },
  { dataType: DataType.INT16, name: 'int16', bits: 16, field: 'int32Data' },
  { dataType: DataType.INT32, name: 'int32', bits: 32, field: 'int32Data' },
  { dataType: DataType.INT64, name: 'int64', bits: 64, field: 'int64Data' },
  { dataType: DataType.STRING, name: 'string', bits: 0, field: 'stringData' },
  { dataType: DataType.BOOL, name: 'bool', bits: 8, field: 'int32Data' },
  { dataType: DataType.FLOAT16, name: 'float16', bits: 16, field: 'int32Data' },
  { dataType: DataType.DOUBLE, name: 'float64', bits: 64, field: 'doubleData' },
  { dataType: DataType.UINT32, name: 'uint32', bits: 32, field: 'uint64Data' },
  { dataType: DataType.UINT64, name: 'uint64', bits: 64, field: 'uint64Data' },
  { dataType: DataType.COMPLEX64, name: 'complex64', bits: 64, field: 'floatData' },
  { dataType: DataType.COMPLEX128, name: 'complex128', bits: 128, field: 'doubleData' },
  { dataType: DataType.BFLOAT16, name: 'bfloat16', bits: 16, field: 'int32Data' },
  { dataType: DataType.FLOAT8E4M3FN, name: 'float8e4m3fn', bits: 8, field: 'int32Data' },
  { dataType: DataType.FLOAT8E4M3FNUZ, name: 'float8e4m3fnuz', bits: 8, field: 'int32Data' },
  { dataType: DataType.FLOAT8E5M2, name: 'float8e5m2', bits: 8, field: 'int32Data' },
  { dataType: DataType.FLOAT8E5M2FNUZ, name: 'float8e5m2fnuz', bits: 8, field: 'int32Data' },
  { dataType: DataType.UINT4, name: 'uint4', bits: 4, field: 'int32Data' },
  { dataType: DataType.INT4, name: 'int4', bits: 4, field: 'int32Data' },
  { dataType: DataType.FLOAT4E2M1, name: 'float4e2m1', bits: 4, field: 'int32Data' },
  { dataType: DataType.FLOAT8E8M0, name: 'float8e8m0', bits: 8, field: 'int32Data' },
  { dataType: DataType.UINT2, name: 'uint2', bits: 2, field: 'int32Data' },
  { dataType: DataType.INT2, name: 'int2', bits: 2, field: 'int32Data' },
  { dataType: DataType.FLOAT6E2M3, name: 'float6e2m3', bits: 6, field: 'int32Data' },
  { dataType: DataType.FLOAT6E3M2, name: 'float6e3m2', bits: 6, field: 'int32Data' },
];

const BY_DATA_TYPE = new Map(TYPES.map((type) => [type.dataType, type]));

/** @throws OnnxError `invalid-tensor` for a number that is no known {@link DataType}. */
export function elementTypeOf(dataType: number | undefined): ElementType {
  const type = BY_DATA_TYPE.get(dataType ?? DataType.UNDEFINED);
  if (type === undefined) {
    throw new OnnxError('invalid-tensor', `element type ${dataType} is none that this version knows`);
  }
  return type;
}

/** Whether `dataType` is one that {@link elementTypeOf} knows. */
export function isElementType(dataType: number | undefined): boolean {
  return BY_DATA_TYPE.has(dataType ?? DataType.UNDEFINED);
}

/** Number of elements of a shape; a scalar has 1. The caller has checked that dims are ≥ 0 and the product is a safe integer. */
export function elementCountOf(dims: readonly number[]): number {
  return dims.reduce((product, dim) => product * dim, 1);
}

/** Bytes of `dims` elements as raw data, the last byte padded. */
export function byteLengthOf(type: ElementType, dims: readonly number[]): number {
  return byteLengthOfCount(type, elementCountOf(dims));
}

/** Bytes of `count` elements as raw data. */
export function byteLengthOfCount(type: ElementType, count: number): number {
  // In two steps: count × bits can pass 2⁵³ where the bytes do not.
  return type.bits % 8 === 0
    ? count * (type.bits / 8)
    : Math.floor(count / 8) * type.bits + Math.ceil(((count % 8) * type.bits) / 8);
}
