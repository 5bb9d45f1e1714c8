import { expect, test } from 'vitest';
import { Pace } from './pace.js';

test('the rate and the time left, by what was done so far', () => {
  let milliseconds = 0;
  const pace = new Pace(() => milliseconds);
  expect(pace.describe(0, 4e9)).toBeUndefined();
  milliseconds = 2000;
  expect(pace.describe(0, 4e9)).toBeUndefined();
  expect(pace.describe(1e9, 4e9)).toBe('500 MB/s, 6 s left');
  expect(pace.describe(1e9, 101e9)).toBe('500 MB/s, 3 min left');
  expect(pace.describe(1e9, 3751e9)).toBe('500 MB/s, 2 h 5 min left');
  expect(pace.describe(4e9, 4e9)).toBe('2.00 GB/s, 0 s left');
});
