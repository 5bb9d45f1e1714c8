/** Elements of the three types as numbers and back. */

import type { FloatType } from '../safetensors/dtype.js';

/** Elements in memory: those of the half-precision types as their bits. */
export type Elements = Float32Array | Uint16Array;

/** Little-endian elements as float32, which holds the values of all three types. */
export function decodeElements(bytes: Uint8Array, type: FloatType): Float32Array {
  const aligned = bytes.slice().buffer;
  if (type === 'float32') return new Float32Array(aligned);
  return Float32Array.from(new Uint16Array(aligned), type === 'float16' ? fromFloat16 : fromBfloat16);
}

/**
 * Writes `values[i]·factor`, rounded once to nearest even.
 * @returns the first finite product that is beyond the type's largest number, if there is one
 */
export function encodeElements(
  values: Float32Array,
  factor: number,
  target: Elements,
  type: FloatType,
): number | undefined {
  let beyond: number | undefined;
  // Tens of millions of elements: no iterator.
  for (let i = 0; i < values.length; i++) {
    const product = values[i]! * factor;
    target[i] = type === 'float32' ? product : type === 'float16' ? toFloat16(product) : toBfloat16(product);
    if (beyond === undefined && Number.isFinite(product) && isInfinite(target[i]!, type)) beyond = product;
  }
  return beyond;
}

function isInfinite(element: number, type: FloatType): boolean {
  if (type === 'float32') return !Number.isFinite(element);
  return (element & 0x7fff) === (type === 'float16' ? 0x7c00 : 0x7f80);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function fromBfloat16(half: number): number {
  bits[0] = half << 16;
  return float[0]!;
}

function fromFloat16(half: number): number {
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1024 + mantissa) * 2 ** (exponent - 25));
}

// Both take a float64, which a float32 must not be rounded to first: two roundings are not one. Scaled so that the type's
// last place is 1, a number is rounded by the addition of 1.5·2⁵².
const ROUNDER = 1.5 * 2 ** 52;

function toFloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  const exponent = Math.max(exponentOf(magnitude), -14);
  const steps = magnitude * 2 ** (10 - exponent) + ROUNDER - ROUNDER;
  // A carry goes on into the exponent. Subnormal numbers have the exponent −14 and fewer than 1024 steps.
  return sign | ((exponent + 14) * 1024 + steps);
}

function toBfloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7fc0;
  const exponent = Math.max(exponentOf(magnitude), -126);
  if (exponent > 127) return sign | 0x7f80;
  const steps = magnitude * 2 ** (7 - exponent) + ROUNDER - ROUNDER;
  return sign | ((exponent + 126) * 128 + steps);
}

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

/** ⌊log₂⌋ of a positive number; −1023 for zero and what is smaller than any half-precision number. */
function exponentOf(value: number): number {
  double[0] = value;
  return (words[1]! >>> 20) - 1023;
}
