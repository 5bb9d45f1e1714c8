/** float16 and bfloat16: bits to numbers and back, rounding to nearest, ties to even, once (from float64). */

const scratch = new DataView(new ArrayBuffer(8));

export function float16ToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export const numberToFloat16 = (value: number): number => roundToBits(value, 10, 15);

export function bfloat16ToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

export const numberToBfloat16 = (value: number): number => roundToBits(value, 7, 127);

/** A 16-bit float of the given fraction bits and exponent bias. */
function roundToBits(value: number, fractionBits: number, bias: number): number {
  const infinity = ((2 * bias + 1) << fractionBits) >>> 0;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  if (Number.isNaN(value)) return infinity | (1 << (fractionBits - 1));
  const magnitude = Math.abs(value);
  if (magnitude === Number.POSITIVE_INFINITY) return sign | infinity;
  scratch.setFloat64(0, magnitude);
  const exponent = Math.max((scratch.getUint16(0) >> 4) - 1023, 1 - bias);
  // In units of the last place the value is below 2^(fractionBits+1), so the arithmetic is exact until the rounding.
  const units = roundHalfToEven(magnitude * 2 ** (fractionBits - exponent));
  const bits = ((exponent + bias - 1) << fractionBits) + units;
  return sign | Math.min(bits, infinity);
}

function roundHalfToEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}
