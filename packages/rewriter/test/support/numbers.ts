/** Seeded numbers, half precision, and the DoRA formulas in float64. */
import type { FloatType } from '../../src/index.js';
import { toFloat64 } from '../../src/tensors/elements.js';

/** Deterministic numbers, roughly normal. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0 || 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return () => uniform() + uniform() + uniform() + uniform() - 2;
}

/** Values rounded to the type, as its little-endian bytes. */
export function toBytes(values: ArrayLike<number>, type: FloatType): Uint8Array {
  if (type === 'float32') return new Uint8Array(Float32Array.from(values).buffer);
  return new Uint8Array(Uint16Array.from(values, type === 'float16' ? toFloat16Bits : toBfloat16Bits).buffer);
}

/** Values as they are after rounding to the type. */
export function rounded(values: ArrayLike<number>, type: FloatType): Float64Array {
  return toFloat64(toBytes(values, type), type);
}

export function toFloat16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude === 0 ? 1e-30 : magnitude)));
  const steps = roundToEven(magnitude / 2 ** (exponent - 10));
  return sign + (exponent + 14) * 1024 + steps;
}

export function toBfloat16Bits(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** `[rows, inner]·[inner, columns]` in float64. */
export function matMul(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  const result = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < inner; k++) {
      const factor = a[row * inner + k]!;
      for (let column = 0; column < columns; column++) {
        result[row * columns + column]! += factor * b[k * columns + column]!;
      }
    }
  }
  return result;
}

export function transposed(values: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from(values, (_, index) => values[(index % rows) * columns + Math.floor(index / rows)]!);
}

/** Largest |difference| over the largest |expected|. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let worst = 0;
  let largest = 0;
  for (let index = 0; index < expected.length; index++) {
    worst = Math.max(worst, Math.abs(actual[index]! - expected[index]!));
    largest = Math.max(largest, Math.abs(expected[index]!));
    if (Number.isNaN(actual[index]!) !== Number.isNaN(expected[index]!)) return Number.POSITIVE_INFINITY;
  }
  return largest === 0 ? worst : worst / largest;
}
