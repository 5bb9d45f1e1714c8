import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { distribution, draw } from './distribution.js';

interface Recorded {
  temperature: number;
  topK: number;
  topP: number;
  logits: number[];
  probabilities: number[];
}

const file = new URL('../../test/fixtures/distributions.json', import.meta.url);
const cases = JSON.parse(readFileSync(file, 'utf8')) as Recorded[];

it.each(cases)(
  "is transformers' at temperature $temperature, top-k $topK, top-p $topP",
  ({ logits, probabilities, ...settings }) => {
    const { ids, weights } = distribution(Float32Array.from(logits), Math.max(...logits), settings);
    const total = ids.reduce((sum, id) => sum + weights[id]!, 0);
    const found = logits.map((_, id) => (ids.includes(id) ? weights[id]! / total : 0));
    found.forEach((probability, id) => {
      expect(Math.abs(probability - probabilities[id]!)).toBeLessThan(1e-5);
    });
    expect(found.map((probability) => probability > 0)).toEqual(probabilities.map((probability) => probability > 0));
  },
);

it('is drawn from in proportion, its ends included', () => {
  const even = { ids: [2, 0], weights: Float64Array.of(1, 5, 3) };
  expect([0, 0.74, 0.76, 1 - 2 ** -53].map((uniform) => draw(even, uniform))).toEqual([2, 2, 0, 0]);
});
