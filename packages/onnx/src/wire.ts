/** Protobuf's wire format on protobufjs' Reader and Writer, with int64 as bigint and data fields as typed arrays. */
import protobuf from 'protobufjs/minimal.js';
import type { Field, ScalarKind, TypedStore } from './schema.js';

export type Reader = protobuf.Reader;
export type Writer = protobuf.Writer;
export type Scalar = string | number | bigint | Uint8Array;
export type TypedData = Float32Array | Float64Array | Int32Array | BigInt64Array | BigUint64Array;

export const VARINT = 0;
export const FIXED64 = 1;
export const DELIMITED = 2;
export const FIXED32 = 5;

const WIRE_TYPE: Record<ScalarKind | 'message', number> = {
  string: DELIMITED,
  bytes: DELIMITED,
  message: DELIMITED,
  int32: VARINT,
  int64: VARINT,
  uint64: VARINT,
  float: FIXED32,
  double: FIXED64,
};

/** The wire type of one value of the field. */
export function wireTypeOf(field: Field): number {
  return WIRE_TYPE[field.kind];
}

/** Whether a token of this wire type is a value of the field; otherwise it is carried along unread, as protobuf does. */
export function accepts(field: Field, wireType: number): boolean {
  return wireType === WIRE_TYPE[field.kind] || (wireType === DELIMITED && field.repeated && isNumeric(field));
}

export function isNumeric(field: Field): boolean {
  return WIRE_TYPE[field.kind] !== DELIMITED;
}

export function createReader(buffer: Uint8Array, start = 0, end = buffer.length): Reader {
  const reader = new protobuf.Reader(buffer);
  reader.pos = start;
  reader.len = end;
  return reader;
}

export function createWriter(): Writer {
  return new protobuf.Writer();
}

/** Views of a Buffer are Buffers, whose methods differ from Uint8Array's (slice, toString): messages hold the latter. */
export function asPlainBytes(bytes: Uint8Array): Uint8Array {
  return bytes.constructor === Uint8Array
    ? bytes
    : new Uint8Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

export function readScalar(reader: Reader, kind: ScalarKind | 'message'): Scalar {
  switch (kind) {
    case 'string':
      return reader.string();
    case 'bytes':
      return reader.bytes();
    case 'int32':
      return reader.int32();
    case 'int64':
      return readInt64(reader);
    case 'uint64':
      return BigInt.asUintN(64, readInt64(reader));
    case 'float':
      return reader.float();
    case 'double':
      return reader.double();
    case 'message':
      throw new TypeError('a message is not a scalar');
  }
}

/** The text of a string field, as {@link readScalar} reads it: what is not UTF-8 becomes U+FFFD. */
export function readUtf8(buffer: Uint8Array, start: number, end: number): string {
  return protobuf.util.utf8.read(buffer, start, end);
}

// protobufjs gives 64 bits as a Long, or as a rounded number where it finds no Long: neither is wanted.
function readInt64(reader: Reader): bigint {
  const low = readGroups(reader, 4);
  if (!low.more) return BigInt(low.bits);
  const middle = readGroups(reader, 4);
  const bits = (BigInt(middle.bits) << 28n) | BigInt(low.bits);
  if (!middle.more) return bits;
  const high = readGroups(reader, 2);
  if (high.more) throw new RangeError('a varint of more than ten bytes');
  return BigInt.asIntN(64, (BigInt(high.bits) << 56n) | bits);
}

/** Up to `count` seven-bit groups of a varint. */
function readGroups(reader: Reader, count: number): { readonly bits: number; readonly more: boolean } {
  let bits = 0;
  for (let group = 0; group < count; group++) {
    if (reader.pos >= reader.len) throw new RangeError('the bytes end within a varint');
    const byte = reader.buf[reader.pos++]!;
    bits |= (byte & 127) << (7 * group);
    if (byte < 128) return { bits, more: false };
  }
  return { bits, more: true };
}

export function writeScalar(writer: Writer, kind: ScalarKind | 'message', value: Scalar): void {
  switch (kind) {
    case 'string':
      writer.string(value as string);
      return;
    case 'int32':
      writer.int32(value as number);
      return;
    case 'int64':
    case 'uint64': {
      const low = Number(BigInt.asIntN(32, value as bigint));
      const high = Number(BigInt.asIntN(32, (value as bigint) >> 32n));
      writer.uint64({ low, high, unsigned: true });
      return;
    }
    case 'float':
      writer.float(value as number);
      return;
    case 'double':
      writer.double(value as number);
      return;
    default:
      throw new TypeError(`${kind} is not written as a scalar`);
  }
}

const STORES = { Float32Array, Float64Array, Int32Array, BigInt64Array, BigUint64Array };

/** One occurrence of a repeated numeric field: a packed block, or a single value. */
export interface NumberToken {
  readonly wireType: number;
  /** After the tag (and, of a block, after its length). */
  readonly start: number;
  readonly end: number;
}

/** How many numbers the tokens hold. */
export function countNumbers(buffer: Uint8Array, field: Field, tokens: readonly NumberToken[]): number {
  let count = 0;
  for (const { wireType, start, end } of tokens) {
    if (wireType !== DELIMITED) count++;
    else if (field.kind === 'float') count += Math.trunc((end - start) / 4);
    else if (field.kind === 'double') count += Math.trunc((end - start) / 8);
    else for (let at = start; at < end; at++) if (buffer[at]! < 128) count++;
  }
  return count;
}

/** The numbers of a data field, in a typed array of their own. Throws RangeError where the last one is cut off. */
export function readTyped(
  buffer: Uint8Array,
  field: Field,
  store: TypedStore,
  tokens: readonly NumberToken[],
  count: number,
): TypedData {
  const values = new STORES[store](count);
  let filled = 0;
  for (const { start, end } of tokens) {
    if (values instanceof Float32Array || values instanceof Float64Array) {
      const width = values.BYTES_PER_ELEMENT;
      if ((end - start) % width !== 0) throw new RangeError(`a block of ${field.kind}s ends within a number`);
      new Uint8Array(values.buffer, filled * width, end - start).set(buffer.subarray(start, end));
      filled += (end - start) / width;
    } else {
      const reader = createReader(buffer, start, end);
      if (values instanceof Int32Array) while (reader.pos < end) values[filled++] = reader.int32();
      else while (reader.pos < end) values[filled++] = readInt64(reader);
    }
  }
  return values;
}
