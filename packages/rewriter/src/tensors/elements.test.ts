import { expect, it } from 'vitest';
import { rounded, toBytes } from '../../test/support/numbers.js';
import { floatType, toFloat32, toFloat64 } from './elements.js';

it.each([
  [0x3c00, 1],
  [0xc100, -2.5],
  [0x7bff, 65504],
  [0x0001, 2 ** -24],
  [0x0400, 2 ** -14],
  [0x7c00, Number.POSITIVE_INFINITY],
])('decodes float16 %i', (bits, expected) => {
  expect(toFloat64(new Uint8Array(Uint16Array.of(bits).buffer), 'float16')[0]).toBe(expected);
});

it.each([
  [0x3f80, 1],
  [0xc020, -2.5],
  [0xff80, Number.NEGATIVE_INFINITY],
])('decodes bfloat16 %i', (bits, expected) => {
  expect(toFloat64(new Uint8Array(Uint16Array.of(bits).buffer), 'bfloat16')[0]).toBe(expected);
});

it.each(['float32', 'float16', 'bfloat16'] as const)('decodes what was rounded to %s', (type) => {
  const values = [0, 1, -2.5, 1 / 3, 65504, 2 ** -24, 2 ** -14, -1e-5];
  expect(toFloat64(toBytes(rounded(values, type), type), type)).toEqual(rounded(values, type));
  expect([...toFloat32(toBytes(values, type), type)]).toEqual([...rounded(values, type)]);
});

it('reads bytes that are not aligned', () => {
  const bytes = new Uint8Array(9);
  bytes.set(toBytes([1.5, -3], 'float32'), 1);
  expect([...toFloat64(bytes.subarray(1), 'float32')]).toEqual([1.5, -3]);
});

it('knows three float types', () => {
  expect([1, 10, 16, 7, undefined].map(floatType)).toEqual(['float32', 'float16', 'bfloat16', undefined, undefined]);
});
