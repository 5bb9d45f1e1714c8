import { DataType } from '@ort-dora/onnx';
import type { FloatType } from '../functions/form.js';

const FLOAT_TYPE: ReadonlyMap<number, FloatType> = new Map([
  [DataType.FLOAT, 'float32'],
  [DataType.FLOAT16, 'float16'],
  [DataType.BFLOAT16, 'bfloat16'],
]);

/** The operators' element type of that number, or undefined for any other. */
export function floatType(dataType: number | undefined): FloatType | undefined {
  return dataType === undefined ? undefined : FLOAT_TYPE.get(dataType);
}

/** Little-endian elements as float64: exact for all three types. */
export function toFloat64(bytes: Uint8Array, type: FloatType): Float64Array {
  if (type === 'float32') return new Float64Array(words32(bytes, Float32Array));
  return lookUp(words16(bytes), halfTable(type), Float64Array);
}

/** Little-endian elements as float32: exact for all three types. */
export function toFloat32(bytes: Uint8Array, type: FloatType): Float32Array {
  if (type === 'float32') return new Float32Array(words32(bytes, Float32Array));
  return lookUp(words16(bytes), halfTable(type), Float32Array);
}

function lookUp<T extends Float32Array | Float64Array>(
  halves: Uint16Array,
  table: Float32Array,
  Values: new (length: number) => T,
): T {
  const values = new Values(halves.length);
  for (let index = 0; index < halves.length; index++) values[index] = table[halves[index]!]!;
  return values;
}

/** The bytes as 16-bit words, without copying where they are aligned. */
export function words16(bytes: Uint8Array): Uint16Array {
  const aligned = align(bytes, 2);
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 1);
}

/** The bytes as 32-bit words, without copying where they are aligned. */
export function words32<T extends Float32Array | Uint32Array>(
  bytes: Uint8Array,
  View: new (buffer: ArrayBufferLike, offset: number, length: number) => T,
): T {
  const aligned = align(bytes, 4);
  return new View(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2);
}

const tables = new Map<FloatType, Float32Array>();

/** All 65536 values of a 16-bit type: reading a table is many times faster than decoding. */
function halfTable(type: 'float16' | 'bfloat16'): Float32Array {
  let table = tables.get(type);
  if (table === undefined) {
    table = Float32Array.from({ length: 65536 }, (_, bits) => halfValue(bits, type));
    tables.set(type, table);
  }
  return table;
}

/** The value of one float16 or bfloat16 bit pattern. */
export function halfValue(bits: number, type: 'float16' | 'bfloat16'): number {
  if (type === 'bfloat16') return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function align(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}
