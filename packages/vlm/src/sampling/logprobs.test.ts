import { expect, it } from 'vitest';
import { logprobs } from './logprobs.js';

const logits = [0.1, 0.2, 0.3, 0.4].map(Math.log);

it('are those of the softmax, the likeliest first', () => {
  const choice = logprobs(Float32Array.from(logits), 1, 3);
  expect(choice.logprob).toBeCloseTo(Math.log(0.2), 6);
  expect(choice.likeliest.map(({ id }) => id)).toEqual([3, 2, 1]);
  expect(choice.likeliest[0]!.logprob).toBeCloseTo(Math.log(0.4), 6);
});

it('stay finite for large logits', () => {
  expect(logprobs(Float32Array.of(1000, 0), 0, 0)).toEqual({ id: 0, logprob: 0, likeliest: [] });
});
