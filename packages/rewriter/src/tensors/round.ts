import type { FloatType } from '../functions/form.js';
import { roundToFloat16 } from './round-float16.js';

/** Values rounded to the type once, ties to even, as its little-endian bytes. */
export function encodeRounded(values: Float64Array, type: FloatType): Uint8Array {
  if (type === 'float32') return new Uint8Array(Float32Array.from(values).buffer);
  const encode = type === 'float16' ? float16Bits : bfloat16Bits;
  return new Uint8Array(Uint16Array.from(values, encode).buffer);
}

function float16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(roundToFloat16(value));
  if (magnitude === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  return sign | ((exponent + 15) << 10) | (magnitude * 2 ** (10 - exponent) - 1024);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** By way of float32 rounded to odd, so that the two roundings are as good as one. */
function bfloat16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  float[0] = value;
  const nearest = float[0];
  if (nearest !== value && Number.isFinite(nearest)) {
    // Towards zero, with the last bit set.
    if (Math.abs(nearest) > Math.abs(value)) bits[0]!--;
    bits[0]! |= 1;
  } else if (nearest !== value) {
    // Beyond float32: the largest number of it, which rounds to infinity as well.
    bits[0]!--;
  }
  const whole = bits[0]!;
  return (whole + 0x7fff + ((whole >>> 16) & 1)) >>> 16;
}
