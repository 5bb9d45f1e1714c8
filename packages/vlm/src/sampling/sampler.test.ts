import { describe, expect, it } from 'vitest';
import { Sampler } from './sampler.js';
import type { SamplingSettings } from './sampling-options.js';

const GREEDY: SamplingSettings = { temperature: 0, topP: 1, topK: 0, repetitionPenalty: 1, seed: 1 };

/** How often each id comes out of `draws` draws. */
function frequencies(logits: readonly number[], settings: Partial<SamplingSettings>, draws = 20_000): number[] {
  const sampler = new Sampler({ ...GREEDY, temperature: 1, ...settings }, [], []);
  const counts = logits.map(() => 0);
  for (let i = 0; i < draws; i++) counts[sampler.next(Float32Array.from(logits))]! += 1;
  return counts.map((count) => count / draws);
}

/** Within 5 standard deviations of a frequency of 20 000 draws. */
function near(probabilities: readonly number[]): (found: readonly number[]) => boolean {
  return (found) => probabilities.every((p, i) => Math.abs(found[i]! - p) < 5 * Math.sqrt((p * (1 - p)) / 20_000));
}

const logits = [0.1, 0.2, 0.3, 0.4].map(Math.log);

describe('greedy', () => {
  it('takes the highest logit, the first of equal ones', () => {
    expect(new Sampler(GREEDY, [], []).next(Float32Array.of(1, 3, 3, 2))).toBe(1);
    expect(new Sampler(GREEDY, [], []).next(Float32Array.of(Number.NaN, -5, -4))).toBe(2);
  });

  it('never takes a suppressed token', () => {
    expect(new Sampler(GREEDY, [1, 2], []).next(Float32Array.of(1, 3, 3, 2))).toBe(3);
  });

  it('penalises what prompt and answer have, as RepetitionPenaltyLogitsProcessor does', () => {
    const sampler = new Sampler({ ...GREEDY, repetitionPenalty: 2 }, [], [0, 3]);
    const scores = Float32Array.of(4, 1.9, -1, -2);
    expect(sampler.next(scores)).toBe(0);
    expect([...scores]).toEqual([2, Math.fround(1.9), -1, -4]);
    expect(sampler.next(Float32Array.of(2, 1.9, -1, -2))).toBe(1);
  });

  it.each([Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY])('refuses logits of %d', (value) => {
    expect(() => new Sampler(GREEDY, [], []).next(new Float32Array(4).fill(value))).toThrow('no finite logit');
  });
});

describe('sampled', () => {
  it('follows the distribution', () => {
    expect(frequencies(logits, {})).toSatisfy(near([0.1, 0.2, 0.3, 0.4]));
  });

  it('follows the temperature', () => {
    // Half the temperature squares the probabilities.
    expect(frequencies(logits, { temperature: 0.5 })).toSatisfy(near([1, 4, 9, 16].map((weight) => weight / 30)));
  });

  it('draws from the k likeliest', () => {
    const [a, b, c, d] = frequencies(logits, { topK: 2 });
    expect([a, b]).toEqual([0, 0]);
    expect(c! / d!).toBeCloseTo(0.75, 1);
  });

  it('draws from the fewest that add up to p', () => {
    expect(frequencies(logits, { topP: 0.35 }).map((f) => f > 0)).toEqual([false, false, false, true]);
    expect(frequencies(logits, { topP: 0.65 }).map((f) => f > 0)).toEqual([false, false, true, true]);
    expect(frequencies(logits, { topP: 0.95 }).map((f) => f > 0)).toEqual([true, true, true, true]);
    expect(frequencies(logits, { topP: 0 }).map((f) => f > 0)).toEqual([false, false, false, true]);
  });

  it('applies p to what k leaves', () => {
    // 0.4 of the 0.7 that two tokens have is 0.57.
    expect(frequencies(logits, { topK: 2, topP: 0.5 }).map((f) => f > 0)).toEqual([false, false, false, true]);
    expect(frequencies(logits, { topK: 2, topP: 0.6 }).map((f) => f > 0)).toEqual([false, false, true, true]);
  });

  it('repeats itself for a seed', () => {
    expect(frequencies(logits, { seed: 3 }, 100)).toEqual(frequencies(logits, { seed: 3 }, 100));
  });
});
