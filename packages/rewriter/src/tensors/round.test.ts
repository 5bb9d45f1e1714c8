import { expect, it } from 'vitest';
import { seeded } from '../../test/support/numbers.js';
import { toFloat64 } from './elements.js';
import { encodeRounded } from './round.js';

const ALL = Uint16Array.from({ length: 65536 }, (_, index) => index);

it.each(['float16', 'bfloat16'] as const)('%s: every number is itself', (type) => {
  const values = toFloat64(new Uint8Array(ALL.buffer), type);
  const bits = new Uint16Array(encodeRounded(values, type).buffer);
  for (let index = 0; index < ALL.length; index++) {
    if (Number.isNaN(values[index]))
      expect(toFloat64(encodeRounded(values.subarray(index, index + 1), type), type)[0]).toBeNaN();
    else if (bits[index] !== index) expect.fail(`${values[index]} became ${bits[index]}, not ${index}`);
  }
});

it.each(['float16', 'bfloat16'] as const)('%s: the nearest number, ties to even', (type) => {
  const numbers = toFloat64(new Uint8Array(ALL.slice(0, 0x8000).buffer), type).filter(Number.isFinite);
  const random = seeded(5);
  for (let round = 0; round < 4000; round++) {
    const index = Math.floor(Math.abs(random()) * 4096 * 8) % (numbers.length - 1);
    const [low, high] = [numbers[index]!, numbers[index + 1]!];
    const middle = (low + high) / 2;
    const even = index % 2 === 0 ? low : high;
    const step = (high - low) * 2 ** -40;
    const values = Float64Array.of(middle, middle - step, middle + step, -middle);
    expect([...toFloat64(encodeRounded(values, type), type)], `between ${low} and ${high}`).toEqual([
      even,
      low,
      high,
      -even,
    ]);
  }
});

const LARGEST_BFLOAT16 = (2 - 2 ** -7) * 2 ** 127;

it.each([
  ['float16', 65519.99, 65504],
  ['float16', 65520, Number.POSITIVE_INFINITY],
  ['bfloat16', LARGEST_BFLOAT16, LARGEST_BFLOAT16],
  ['bfloat16', LARGEST_BFLOAT16 + 2 ** 119, Number.POSITIVE_INFINITY],
  ['bfloat16', 1e300, Number.POSITIVE_INFINITY],
  ['float32', 1e300, Number.POSITIVE_INFINITY],
] as const)('%s: %d becomes %d', (type, value, expected) => {
  expect(toFloat64(encodeRounded(Float64Array.of(value, -value), type), type)).toEqual(
    Float64Array.of(expected, -expected),
  );
});
