import { expect, it } from 'vitest';
import { seededRandom } from './random.js';

function draws(seed: number, count: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, random);
}

it('repeats its sequence for a seed, on every machine', () => {
  expect(draws(7, 1000)).toEqual(draws(7, 1000));
  expect(draws(0, 2)).toMatchInlineSnapshot(`
    [
      0.41675133265905573,
      0.5870561741002205,
    ]
  `);
});

it('gives other sequences for other seeds, also where they differ above 32 bits only', () => {
  const firsts = [0, 1, 2, 2 ** 32, 2 ** 33, Number.MAX_SAFE_INTEGER].map((seed) => draws(seed, 1)[0]);
  expect(new Set(firsts).size).toBe(firsts.length);
});

it('is uniform in [0, 1): counts in 16 bins pass a chi-squared test', () => {
  const counts = new Float64Array(16);
  for (const draw of draws(1, 160_000)) counts[Math.floor(draw * 16)]! += 1;
  const statistic = counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0);
  // 99.9th percentile of 15 degrees of freedom.
  expect(statistic).toBeLessThan(37.7);
});
