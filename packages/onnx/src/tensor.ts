import { byteLengthOfCount, type ElementType, elementTypeOf } from './element-types.js';
import { OnnxError } from './errors.js';
import { DataLocation, type TensorProto } from './messages.js';

/** What a tensor is, without its elements. */
export interface TensorDescription {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly elementCount: number;
  /** Bytes as raw data; 0 for strings. */
  readonly byteLength: number;
  /** Where the elements are: in `rawData`, in a typed field, or in another file. */
  readonly storage: 'raw' | 'typed' | 'external';
}

/**
 * Type, shape and size of a tensor, checked.
 * @throws OnnxError `invalid-tensor` for an unknown type, a negative dim, more elements than can be counted, or inline
 * data that does not have the size that type and dims say.
 */
export function describeTensor(tensor: TensorProto): TensorDescription {
  const name = tensor.name ?? '';
  const fail = (what: string) => new OnnxError('invalid-tensor', `tensor '${name}' ${what}`);
  const type = elementTypeOf(tensor.dataType);
  const dims = tensor.dims.map((dim) => {
    if (dim < 0n || dim > MAX_ELEMENTS) throw fail(`has a dim of ${dim}`);
    return Number(dim);
  });
  let elementCount = 1;
  // Zero dims first: [0, 2⁵², 2⁵²] is empty, not too large.
  for (const dim of dims.includes(0) ? [0] : dims) {
    elementCount *= dim;
    if (elementCount > Number.MAX_SAFE_INTEGER / 16) throw fail(`of dims [${dims.join(', ')}] is too large to be real`);
  }
  const byteLength = byteLengthOfCount(type, elementCount);
  const described = { name, type, dims, elementCount, byteLength };
  if (tensor.dataLocation === DataLocation.EXTERNAL) {
    if (type.name === 'string') throw fail('holds strings, which cannot be external');
    return { ...described, storage: 'external' };
  }
  if (tensor.rawData !== undefined) {
    if (type.name === 'string') throw fail('holds strings, which cannot be raw data');
    if (tensor.rawData.length !== byteLength) {
      throw fail(
        `of ${type.name}[${dims.join(', ')}] has ${tensor.rawData.length} bytes of raw data, not ${byteLength}`,
      );
    }
    return { ...described, storage: 'raw' };
  }
  const held = tensor[type.field].length;
  const expected = typedLength(type, elementCount);
  if (held !== expected) {
    throw fail(`of ${type.name}[${dims.join(', ')}] has ${held} entries of ${type.field}, not ${expected}`);
  }
  return { ...described, storage: 'typed' };
}

const MAX_ELEMENTS = BigInt(Number.MAX_SAFE_INTEGER);

/** Entries of the typed field that hold `count` elements. */
function typedLength(type: ElementType, count: number): number {
  if (type.name === 'complex64' || type.name === 'complex128') return 2 * count;
  // Types of 4 and 2 bits are packed into bytes, one byte an entry; those of 6 bits are not.
  return type.bits === 4 || type.bits === 2 ? byteLengthOfCount(type, count) : count;
}

/**
 * The elements of an inline tensor as raw little-endian bytes: a view where the file has them so, else converted.
 * @throws OnnxError `no-data` for an external tensor or strings, `invalid-tensor` as {@link describeTensor}.
 */
export function inlineBytes(tensor: TensorProto): Uint8Array {
  const { name, storage, type, byteLength } = describeTensor(tensor);
  if (storage === 'raw') return tensor.rawData!;
  if (storage === 'external') {
    throw new OnnxError(
      'no-data',
      `the elements of tensor '${name}' are in another file`,
      {},
      {
        todo: 'read it through the opened model (openModel)',
      },
    );
  }
  switch (type.field) {
    case 'stringData':
      throw new OnnxError('no-data', `tensor '${name}' holds strings`, {}, { todo: 'read stringData' });
    case 'int32Data':
      return narrow(tensor.int32Data, type, byteLength);
    case 'uint64Data':
      return type.bits === 64 ? bytesOf(tensor.uint64Data) : bytesOf(Uint32Array.from(tensor.uint64Data, Number));
    default:
      return bytesOf(tensor[type.field]);
  }
}

/** int32_data holds types of up to 16 bits one an entry, packed types one byte an entry (6-bit ones unpacked). */
function narrow(values: Int32Array, type: ElementType, byteLength: number): Uint8Array {
  if (type.bits === 32) return bytesOf(values);
  if (type.bits === 16) return bytesOf(Uint16Array.from(values));
  if (type.bits !== 6) return Uint8Array.from(values);
  const packed = new Uint8Array(byteLength);
  values.forEach((value, index) => {
    const bit = index * 6;
    const pair = (value & 63) << (bit % 8);
    packed[bit >> 3]! |= pair;
    if (pair > 255) packed[(bit >> 3) + 1]! |= pair >> 8;
  });
  return packed;
}

function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
}

/** Elements of a tensor in the array of their type: half floats as their bits, packed types as bytes, bool as 0 and 1. */
export type ElementArray =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigInt64Array
  | BigUint64Array;

/** Raw little-endian bytes as an array of the type's elements; a view where the alignment allows, else a copy. */
export function asElements(bytes: Uint8Array, type: ElementType): ElementArray {
  switch (type.name) {
    case 'float32':
    case 'complex64':
      return aligned(bytes, Float32Array);
    case 'float64':
    case 'complex128':
      return aligned(bytes, Float64Array);
    case 'int8':
      return aligned(bytes, Int8Array);
    case 'uint16':
    case 'float16':
    case 'bfloat16':
      return aligned(bytes, Uint16Array);
    case 'int16':
      return aligned(bytes, Int16Array);
    case 'uint32':
      return aligned(bytes, Uint32Array);
    case 'int32':
      return aligned(bytes, Int32Array);
    case 'int64':
      return aligned(bytes, BigInt64Array);
    case 'uint64':
      return aligned(bytes, BigUint64Array);
    default:
      return bytes;
  }
}

interface ElementArrayConstructor<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T;
}

function aligned<T>(bytes: Uint8Array, make: ElementArrayConstructor<T>): T {
  const width = make.BYTES_PER_ELEMENT;
  const from = bytes.byteOffset % width === 0 ? bytes : bytes.slice();
  return new make(from.buffer as ArrayBuffer, from.byteOffset, from.byteLength / width);
}

/**
 * Floating-point elements as float32; float64 is rounded, float16 and bfloat16 are exact.
 * @throws OnnxError `invalid-tensor` for a type that is no floating-point type of 16 bits or more.
 */
export function toFloat32(bytes: Uint8Array, type: ElementType): Float32Array {
  switch (type.name) {
    case 'float32':
      return aligned(bytes, Float32Array);
    case 'float64':
      return Float32Array.from(aligned(bytes, Float64Array));
    case 'float16':
      return fromFloat16(aligned(bytes, Uint16Array));
    case 'bfloat16': {
      const bits = Uint32Array.from(aligned(bytes, Uint16Array), (half) => half << 16);
      return new Float32Array(bits.buffer);
    }
    default:
      throw new OnnxError('invalid-tensor', `elements of type ${type.name} are not read as float32`);
  }
}

let halfTable: Float32Array | undefined;

/** IEEE half precision, by table: exact, subnormals, infinities and NaN included. */
function fromFloat16(halves: Uint16Array): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const mantissa = half & 1023;
    if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
  });
  const table = halfTable;
  const floats = new Float32Array(halves.length);
  for (let index = 0; index < halves.length; index++) floats[index] = table[halves[index]!]!;
  return floats;
}
