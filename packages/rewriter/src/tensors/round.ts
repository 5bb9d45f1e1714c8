import type { FloatType } from '../functions/form.js';

/** Values rounded to the type once, ties to even, as its little-endian bytes. */
export function encodeRounded(values: Float64Array, type: FloatType): Uint8Array {
  const floats = new Float32Array(values);
  if (type === 'float32') return new Uint8Array(floats.buffer);
  const bits = new Uint32Array(floats.buffer);
  roundToOdd(values, floats, bits);
  const halves = new Uint16Array(values.length);
  const encode = type === 'float16' ? float16Bits : bfloat16Bits;
  for (let index = 0; index < halves.length; index++) halves[index] = encode(bits[index]!);
  return new Uint8Array(halves.buffer);
}

/**
 * Float32 numbers between the values and zero, with the last bit set where one was cut off: rounding these to a
 * narrower type is as good as rounding the values. Beyond float32 they are its largest number, which rounds as they do.
 */
function roundToOdd(values: Float64Array, nearest: Float32Array, bits: Uint32Array): void {
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    const float = nearest[index]!;
    if (float === value || Number.isNaN(value)) continue;
    if (Math.abs(float) > Math.abs(value)) bits[index] = (bits[index]! - 1) | 1;
    else bits[index]! |= 1;
  }
}

const SIGN = 0x8000_0000;
const INFINITY = 0x7f80_0000;
/** The bits of the float32 numbers where float16's normal numbers begin, 2⁻¹⁴, and where infinity does, 65520. */
const FLOAT16_NORMAL = 0x3880_0000;
const FLOAT16_INFINITY = 0x477f_f000;
const EXPONENT_DIFFERENCE = 112 << 23;

/** The nearest float16 number to a float32 one. */
function float16Bits(bits: number): number {
  const sign = (bits & SIGN) >>> 16;
  const magnitude = bits & ~SIGN;
  if (magnitude > INFINITY) return sign | 0x7e00;
  if (magnitude >= FLOAT16_INFINITY) return sign | 0x7c00;
  if (magnitude >= FLOAT16_NORMAL) {
    return sign | ((magnitude - EXPONENT_DIFFERENCE + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  }
  // Subnormal, 2⁻²⁴ apart: as many bits of the number, its leading one included, are left as it is large.
  const shift = 126 - (magnitude >>> 23);
  if (shift > 25) return sign;
  const significand = (magnitude & 0x7f_ffff) | 0x80_0000;
  return sign | ((significand + (2 ** (shift - 1) - 1) + ((significand >>> shift) & 1)) >>> shift);
}

/** The nearest bfloat16 number to a float32 one. */
function bfloat16Bits(bits: number): number {
  if ((bits & ~SIGN) > INFINITY) return 0x7fc0;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
