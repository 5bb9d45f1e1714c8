import { expect, it } from 'vitest';
import { rounded, seeded } from '../../test/support/numbers.js';
import { toFloat64 } from './elements.js';
import { roundToFloat16 } from './round-float16.js';

it('leaves every float16 number as it is', () => {
  const all = toFloat64(new Uint8Array(Uint16Array.from({ length: 65536 }, (_, bits) => bits).buffer), 'float16');
  for (const value of all) expect(Object.is(roundToFloat16(value), value)).toBe(true);
});

it('rounds to the nearest, ties to even', () => {
  expect([1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -25, 3 * 2 ** -26, 65519.9, 65520, -65520].map(roundToFloat16)).toEqual([
    1,
    1 + 2 ** -9,
    0,
    2 ** -24,
    65504,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ]);
  const random = seeded(1);
  const values = Float64Array.from({ length: 10000 }, () => random() * 2 ** (20 * random()));
  expect(values.map(roundToFloat16)).toEqual(rounded(values, 'float16'));
});
