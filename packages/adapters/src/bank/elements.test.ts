import { describe, expect, it } from 'vitest';
import { decodeElements, encodeElements } from './elements.js';

describe.each(['float16', 'bfloat16'] as const)('%s', (type) => {
  const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
  const values = decodeElements(new Uint8Array(all.buffer), type);
  const encode = (...numbers: number[]) => {
    const target = new Uint16Array(numbers.length);
    encodeElements(Float32Array.from(numbers), 1, target, type);
    return [...target];
  };

  it('gives every number back', () => {
    const back = encode(...values);
    for (const [bits, value] of values.entries()) {
      if (Number.isNaN(value)) expect(values[back[bits]!]).toBeNaN();
      else if (back[bits] !== bits) expect.fail(`${bits} became ${back[bits]}`);
    }
  });

  it('rounds to the nearest number, and between two to the even one', () => {
    const infinity = type === 'float16' ? 0x7c00 : 0x7f80;
    for (let bits = 0; bits + 1 < infinity; bits++) {
      // A float32 has room for the midpoint of two neighbours, and for numbers on both sides of it, above its own smallest numbers.
      const [low, high] = [values[bits]!, values[bits + 1]!];
      if (type === 'bfloat16' && low < 1e-37) continue;
      const middle = (low + high) / 2;
      const step = (high - low) / 64;
      const even = bits % 2 === 0 ? bits : bits + 1;
      const rounded = encode(middle - step, middle, middle + step, -middle);
      if (rounded.join() !== [bits, even, bits + 1, even + 0x8000].join()) expect.fail(`around ${middle}: ${rounded}`);
    }
  });

  it('rounds the product with a factor once, and says which is too large', () => {
    const largest = Math.max(...values.filter(Number.isFinite));
    const target = new Uint16Array(3);
    expect(encodeElements(Float32Array.of(1, largest / 2, Number.POSITIVE_INFINITY), 2, target, type)).toBeUndefined();
    expect([...decodeElements(new Uint8Array(target.slice().buffer), type)]).toEqual([2, largest, Infinity]);
    expect(encodeElements(Float32Array.of(1, -largest), 1.25, target, type)).toBe(-largest * 1.25);
    // 1 + 2⁻²⁴ + 2⁻⁸ or 2⁻¹¹: in float32 first, it would be a midpoint.
    const half = type === 'float16' ? 2 ** -11 : 2 ** -8;
    encodeElements(Float32Array.of(1), 1 + half + 2 ** -40, target, type);
    expect(decodeElements(new Uint8Array(target.slice().buffer), type)[0]).toBe(1 + 2 * half);
  });
});
