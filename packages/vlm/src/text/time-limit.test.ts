import { expect, it } from 'vitest';
import { withTimeLimit } from './time-limit.js';

it('returns what the task returns', () => {
  expect(withTimeLimit(1000, 'a task', () => ({ a: 1 }))).toEqual({ a: 1 });
});

it("passes the task's own errors on", () => {
  expect(() => withTimeLimit(1000, 'a task', () => JSON.parse('{'))).toThrow(SyntaxError);
});

it.each([
  [
    'an endless loop',
    () => {
      for (;;);
    },
  ],
  ['a regular expression that backtracks for ever', () => /^(a+)+$/.test(`${'a'.repeat(60)}!`)],
])('interrupts %s', (_, task) => {
  const start = performance.now();
  expect(() => withTimeLimit(50, 'the task', task)).toThrow('the task did not come to an end within 50 ms');
  expect(performance.now() - start).toBeLessThan(2000);
});

it('runs within itself', () => {
  expect(
    withTimeLimit(1000, 'outer', () => withTimeLimit(1000, 'inner', () => 1) + withTimeLimit(1000, 'inner', () => 2)),
  ).toBe(3);
});
