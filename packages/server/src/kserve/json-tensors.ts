/** Tensors in JSON: the `data` of an input to a typed array, the typed array of an output to text. */
import type { TensorData } from '@ort-dora/runtime';
import { HttpError } from '../errors.js';
import type { Datatype } from './datatypes.js';

/** Thrown where JSON.parse has rounded a 64-bit integer: the request has to be parsed exactly. */
export class InexactInteger extends Error {}

/**
 * @param what names the input in messages
 * @param count elements according to `shape`; compared with the data before anything is allocated
 * @throws HttpError 400 naming the element, what was expected and what came; InexactInteger
 */
export function decodeJsonData(
  what: string,
  datatype: Datatype,
  shape: readonly number[],
  count: number,
  data: unknown,
): TensorData['data'] {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw new HttpError(400, `${what}: ${datatype} cannot be sent as JSON; send it as binary data (binary_data_size)`);
  }
  if (!Array.isArray(data)) {
    throw new HttpError(400, `${what}: expected "data" as an array of ${count} elements, got ${kind(data)}`);
  }
  const nested = data.some(Array.isArray);
  if (!nested && data.length !== count) {
    throw new HttpError(400, `${what}: shape [${shape.join(', ')}] has ${count} elements, "data" has ${data.length}`);
  }
  if (nested) checkNesting(what, shape, data, 0);
  const rows = nested ? leaves(data, shape.length - 1) : [data];
  return DECODERS[datatype](what, count, rows);
}

/** Walks only the shape: that no row is longer or shorter, and lists end where the shape ends. */
function checkNesting(what: string, shape: readonly number[], data: readonly unknown[], axis: number): void {
  if (data.length !== shape[axis]) {
    throw new HttpError(
      400,
      `${what}: expected ${shape[axis] ?? 'no'} elements along axis ${axis} of shape [${shape.join(', ')}], got ${data.length}`,
    );
  }
  if (axis === shape.length - 1) return;
  for (const row of data) {
    if (!Array.isArray(row)) {
      throw new HttpError(
        400,
        `${what}: expected nested arrays ${shape.length} deep, as in its shape, got ${kind(row)} at depth ${axis + 1}`,
      );
    }
    checkNesting(what, shape, row, axis + 1);
  }
}

function* leaves(data: readonly unknown[], depth: number): Generator<readonly unknown[]> {
  if (depth === 0) yield data;
  else for (const row of data) yield* leaves(row as unknown[], depth - 1);
}

type Rows = Iterable<readonly unknown[]>;
type Decoder = (what: string, count: number, rows: Rows) => TensorData['data'];

const DECODERS: Readonly<Record<Exclude<Datatype, 'FP16' | 'BF16'>, Decoder>> = {
  BOOL: (what, count, rows) => fill(what, rows, new Uint8Array(count), boolean),
  INT8: integers(Int8Array, -(2 ** 7), 2 ** 7 - 1),
  INT16: integers(Int16Array, -(2 ** 15), 2 ** 15 - 1),
  INT32: integers(Int32Array, -(2 ** 31), 2 ** 31 - 1),
  UINT8: integers(Uint8Array, 0, 2 ** 8 - 1),
  UINT16: integers(Uint16Array, 0, 2 ** 16 - 1),
  UINT32: integers(Uint32Array, 0, 2 ** 32 - 1),
  INT64: bigIntegers(BigInt64Array, -(2n ** 63n), 2n ** 63n - 1n),
  UINT64: bigIntegers(BigUint64Array, 0n, 2n ** 64n - 1n),
  FP32: (what, count, rows) => fill(what, rows, new Float32Array(count), float32),
  FP64: (what, count, rows) => fill(what, rows, new Float64Array(count), float64),
  BYTES: (what, count, rows) => fill(what, rows, new Array<string>(count), text),
};

/** An element, or undefined where the value is not one. */
type Element<T> = (value: unknown) => T | undefined;

function fill<T, A extends { [index: number]: T }>(
  what: string,
  rows: Rows,
  target: A,
  element: { read: Element<T>; expected: string },
): A {
  let index = 0;
  for (const row of rows) {
    for (const value of row) {
      const read = element.read(value);
      if (read === undefined)
        throw new HttpError(400, `${what}: element ${index}: expected ${element.expected}, got ${show(value)}`);
      target[index] = read;
      index += 1;
    }
  }
  return target;
}

const boolean = {
  expected: 'true or false',
  read: (value: unknown) => (typeof value === 'boolean' ? Number(value) : undefined),
};

const text = {
  expected: 'a string',
  read: (value: unknown) => (typeof value === 'string' ? value : undefined),
};

/** proto3's JSON spelling of what JSON numbers cannot say. */
const NON_FINITE: ReadonlyMap<unknown, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

const float64 = {
  expected: 'a number, "NaN", "Infinity" or "-Infinity"',
  read(value: unknown): number | undefined {
    if (typeof value === 'number') return value;
    if (typeof value === 'bigint') return Number(value);
    return NON_FINITE.get(value);
  },
};

const float32 = {
  expected: 'a number in the range of FP32, "NaN", "Infinity" or "-Infinity"',
  read(value: unknown): number | undefined {
    const number = float64.read(value);
    if (number === undefined) return undefined;
    return Number.isFinite(number) && !Number.isFinite(Math.fround(number)) ? undefined : number;
  },
};

function integers(
  ArrayType: new (count: number) => Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array,
  low: number,
  high: number,
): Decoder {
  const element = {
    expected: `an integer from ${low} to ${high}`,
    read: (value: unknown) =>
      typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high ? value : undefined,
  };
  return (what, count, rows) => fill(what, rows, new ArrayType(count), element);
}

/** Also takes decimal strings, which is how JavaScript and proto3's JSON write 64-bit integers. */
function bigIntegers(
  ArrayType: new (count: number) => BigInt64Array | BigUint64Array,
  low: bigint,
  high: bigint,
): Decoder {
  const element = {
    expected: `an integer from ${low} to ${high}`,
    read(value: unknown): bigint | undefined {
      const integer = toBigInt(value);
      return integer !== undefined && integer >= low && integer <= high ? integer : undefined;
    },
  };
  return (what, count, rows) => fill(what, rows, new ArrayType(count), element);
}

function toBigInt(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return BigInt(value);
    if (Number.isInteger(value)) throw new InexactInteger();
    return undefined;
  }
  return typeof value === 'string' && /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
}

function kind(value: unknown): string {
  if (value === undefined) return 'none';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}

function show(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'bigint') return `${value}`;
  const shown = JSON.stringify(value) ?? 'nothing';
  return shown.length > 40 ? `${shown.slice(0, 40)}…` : shown;
}

/** Elements a piece of text holds: some 100 KB of text, about a millisecond. */
const PIECE = 8192;

/**
 * The JSON array of a tensor's elements, flat and row-major, in pieces. Every value is exact: 64-bit integers have all
 * their digits, FP32 is written as the double it equals, −0 keeps its sign, and non-finite numbers are strings.
 */
export function* encodeJsonData({ type, data }: TensorData): Generator<string> {
  yield '[';
  for (let start = 0; start < data.length; start += PIECE) {
    const piece = data.slice(start, start + PIECE);
    yield (start === 0 ? '' : ',') + encodePiece(type, piece);
  }
  yield ']';
}

function encodePiece(type: TensorData['type'], piece: TensorData['data']): string {
  if (type === 'string') return (piece as readonly string[]).map((value) => JSON.stringify(value)).join(',');
  if (type === 'bool') return Array.from(piece as Uint8Array, (value) => (value !== 0 ? 'true' : 'false')).join(',');
  if (type === 'float32' || type === 'float64') {
    const numbers = piece as Float32Array | Float64Array;
    if (!numbers.every(isPlain)) return Array.from(numbers, jsonNumber).join(',');
  }
  return piece.join(',');
}

function isPlain(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0);
}

function jsonNumber(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  return Number.isFinite(value) ? `${value}` : `"${value}"`;
}
