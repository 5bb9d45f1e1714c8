import { expect, test } from 'vitest';
import { bfloat16ToNumber, float16ToNumber, numberToBfloat16, numberToFloat16 } from './half.js';

test.each([
  ['float16', float16ToNumber, numberToFloat16],
  ['bfloat16', bfloat16ToNumber, numberToBfloat16],
] as const)('every %s survives the way to a number and back', (_name, decode, encode) => {
  const wrong: number[] = [];
  for (let bits = 0; bits < 65_536; bits++) {
    const value = decode(bits);
    const back = encode(value);
    if (Number.isNaN(value) ? !Number.isNaN(decode(back)) : back !== bits) wrong.push(bits);
  }
  expect(wrong).toEqual([]);
});

test('float16 rounds to nearest, ties to even, and overflows to infinity', () => {
  const ulp = 2 ** -10;
  expect(float16ToNumber(numberToFloat16(1 + ulp / 2))).toBe(1);
  expect(float16ToNumber(numberToFloat16(1 + 1.5 * ulp))).toBe(1 + 2 * ulp);
  expect(float16ToNumber(numberToFloat16(1 + ulp * 0.50001))).toBe(1 + ulp);
  expect(float16ToNumber(numberToFloat16(65_519))).toBe(65_504);
  expect(float16ToNumber(numberToFloat16(65_520))).toBe(Number.POSITIVE_INFINITY);
  expect(float16ToNumber(numberToFloat16(-(2 ** -25)))).toBe(-0);
  expect(float16ToNumber(numberToFloat16(2 ** -25 * 1.001))).toBe(2 ** -24);
});

test('bfloat16 rounds once from float64, not through float32', () => {
  const justAboveHalfway = 1 + 2 ** -8 + 2 ** -40;
  expect(bfloat16ToNumber(numberToBfloat16(justAboveHalfway))).toBe(1 + 2 ** -7);
  expect(bfloat16ToNumber(numberToBfloat16(1 + 2 ** -8))).toBe(1);
  expect(bfloat16ToNumber(numberToBfloat16(3.4e38))).toBe(Number.POSITIVE_INFINITY);
});
