import type { AdapterTensor } from '../../src/index.js';

/** The elements of a tensor as numbers. */
export async function floats({ type, read }: AdapterTensor): Promise<number[]> {
  const bytes = (await read()).slice();
  if (type === 'float32') return [...new Float32Array(bytes.buffer)];
  const halves = [...new Uint16Array(bytes.buffer)];
  if (type === 'float16') return halves.map(fromFloat16);
  return [...new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer)];
}

function fromFloat16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}
