// The element types of tensors, named as in onnxruntime-common, with the codes of ONNX's TensorProto.DataType.

export const ELEMENT_TYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
} as const;

export type ElementType = keyof typeof ELEMENT_TYPES;

/** float16 and bfloat16 are raw bits; bool is one byte an element; uint4 and int4 are packed two to a byte, low half first. */
export interface ElementData {
  float32: Float32Array;
  uint8: Uint8Array | Uint8ClampedArray;
  int8: Int8Array;
  uint16: Uint16Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  string: readonly string[];
  bool: Uint8Array;
  float16: Uint16Array;
  float64: Float64Array;
  uint32: Uint32Array;
  uint64: BigUint64Array;
  bfloat16: Uint16Array;
  uint4: Uint8Array;
  int4: Uint8Array;
}

type NumericType = Exclude<ElementType, 'string'>;

/** A class of typed arrays; two arguments make a view's constructor enough for both owned and borrowed memory. */
export interface TypedArrayClass<T extends NumericType = NumericType> {
  new (length: number): ElementData[T];
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): ElementData[T];
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
}

const CLASSES: { readonly [T in NumericType]: TypedArrayClass<T> } = {
  float32: Float32Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  float16: Uint16Array,
  float64: Float64Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  bfloat16: Uint16Array,
  uint4: Uint8Array,
  int4: Uint8Array,
};

/** The class of the typed arrays that carry `type`. */
export function typedArrayClass<T extends NumericType>(type: T): TypedArrayClass<T> {
  return CLASSES[type];
}

/** The length of the array that carries `count` elements. */
export function dataLength(type: ElementType, count: number): number {
  return type === 'uint4' || type === 'int4' ? Math.ceil(count / 2) : count;
}

export function isElementType(value: unknown): value is ElementType {
  return typeof value === 'string' && Object.hasOwn(ELEMENT_TYPES, value);
}

const NAMES = new Map<number, ElementType>(
  Object.entries(ELEMENT_TYPES).map(([name, code]) => [code, name as ElementType]),
);

/** Undefined for a type that has no name here, such as float8. */
export function elementTypeOf(code: number): ElementType | undefined {
  return NAMES.get(code);
}
