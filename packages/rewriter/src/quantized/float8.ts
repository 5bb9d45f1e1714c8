import { DataType } from '@ort-dora/onnx';

interface Float8Format {
  readonly exponentBits: number;
  readonly bias: number;
  /** IEEE-like: the largest exponent holds infinities and NaN. Otherwise numbers, with `nan` as the only NaN bits. */
  readonly ieee: boolean;
  /** Bits of NaN besides the sign; undefined: negative zero is the only NaN (the `uz` formats). */
  readonly nan: number | undefined;
}

const FORMATS: ReadonlyMap<number, Float8Format> = new Map([
  [DataType.FLOAT8E4M3FN, { exponentBits: 4, bias: 7, ieee: false, nan: 0x7f }],
  [DataType.FLOAT8E4M3FNUZ, { exponentBits: 4, bias: 8, ieee: false, nan: undefined }],
  [DataType.FLOAT8E5M2, { exponentBits: 5, bias: 15, ieee: true, nan: undefined }],
  [DataType.FLOAT8E5M2FNUZ, { exponentBits: 5, bias: 16, ieee: false, nan: undefined }],
]);

const tables = new Map<number, Float32Array>();

/** The 256 values of one of the four 8-bit float types, by their bits (ONNX "Float stored in 8 bits"); else undefined. */
export function float8Values(dataType: number): Float32Array | undefined {
  const format = FORMATS.get(dataType);
  if (format === undefined) return undefined;
  const known = tables.get(dataType);
  if (known !== undefined) return known;
  const table = Float32Array.from({ length: 256 }, (_, bits) => decode(bits, format));
  tables.set(dataType, table);
  return table;
}

function decode(bits: number, { exponentBits, bias, ieee, nan }: Float8Format): number {
  const mantissaBits = 7 - exponentBits;
  const magnitude = bits & 0x7f;
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = magnitude >> mantissaBits;
  const fraction = (magnitude & ((1 << mantissaBits) - 1)) / (1 << mantissaBits);
  if (ieee && exponent === (1 << exponentBits) - 1)
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (!ieee && (nan === undefined ? bits === 0x80 : magnitude === nan)) return Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}
