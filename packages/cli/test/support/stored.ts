/** Tensors as a rewrite finds them in a file. */

import type { FloatTensor, FloatType } from '@ort-dora/rewriter';

/** Values in [−1, 1), the same for the same seed. */
export function noise(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
}

/** A tensor in memory; values are cut off to its type. */
export function stored(values: Float32Array, dims: readonly number[], type: FloatType): FloatTensor {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bytes = new Uint8Array(
    type === 'float32'
      ? values.slice().buffer
      : Uint16Array.from(bits, type === 'bfloat16' ? toBfloat16 : toFloat16).buffer,
  );
  return {
    name: 'stored',
    type,
    dataType: { float32: 1, float16: 10, bfloat16: 16 }[type],
    dims,
    byteLength: bytes.length,
    read: async (start = 0, end = bytes.length) => bytes.subarray(start, end),
  };
}

const toBfloat16 = (bits: number) => bits >>> 16;

/** Of a float32 number's bits; what is below float16's normal numbers becomes 0. */
function toFloat16(bits: number): number {
  const exponent = ((bits >>> 23) & 255) - 112;
  return exponent < 1 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

/** The elements of a float32 tensor, in memory of their own. */
export const floats = async (tensor: FloatTensor) => new Float32Array((await tensor.read()).slice().buffer);
