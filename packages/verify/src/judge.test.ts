import { expect, test } from 'vitest';
import { type Difference, DifferenceSum } from './difference.js';
import { errorRatio, judgeModule, judgeOutput } from './judge.js';

const difference = (fields: Partial<Difference>): Difference => ({
  elements: 100,
  maxAbs: 0,
  scale: 1,
  relative: 0,
  cosine: 1,
  nonFiniteMismatches: 0,
  ...fields,
});

test('a difference is taken over finite elements; others must agree', () => {
  const sum = new DifferenceSum();
  sum.add([1, Number.NaN, Number.POSITIVE_INFINITY, 2], [1, Number.NaN, Number.POSITIVE_INFINITY, 1.5]);
  sum.add([Number.NaN, 3], [0, Number.POSITIVE_INFINITY]);
  expect(sum.result()).toMatchObject({ elements: 6, maxAbs: 0.5, scale: 1.5, relative: 1 / 3, nonFiniteMismatches: 2 });
});

test('all zeros are like all zeros, and like nothing else', () => {
  const same = new DifferenceSum();
  same.add([0, 0], [0, 0]);
  expect(same.result()).toMatchObject({ cosine: 1, relative: 0 });
  const other = new DifferenceSum();
  other.add([1, 0], [0, 0]);
  expect(other.result()).toMatchObject({ cosine: 0, relative: Number.POSITIVE_INFINITY });
  expect(judgeOutput({ type: 'float32', difference: other.result() }).passed).toBe(false);
});

test('tensors of different lengths are not compared', () => {
  expect(() => new DifferenceSum().add([1], [1, 2])).toThrow(RangeError);
});

test.each([
  ['float32 at its limit', { maxAbs: 1e-4, scale: 1 }, true],
  ['float32 past its limit', { maxAbs: 1.01e-4, scale: 1 }, false],
  ['float32 past its limit, relative to max|y|', { maxAbs: 1e-3, scale: 20 }, true],
  ['float32 pointing elsewhere', { cosine: 0.99999 }, false],
  ['NaN in one only', { nonFiniteMismatches: 1 }, false],
  ['a figure that is NaN', { maxAbs: Number.NaN }, false],
] as const)('outputs: %s', (_name, fields, passed) => {
  expect(judgeOutput({ type: 'float32', difference: difference(fields) }).passed).toBe(passed);
});

test('half outputs are judged by their distance from float32, not from each other', () => {
  const judge = (rewritten: number, original: number, cosine = 1) =>
    judgeOutput({
      type: 'float16',
      difference: difference({ maxAbs: 0.5, cosine }),
      fromFloat32: { rewritten: difference({ maxAbs: rewritten }), original: difference({ maxAbs: original }) },
    });
  expect(judge(0.02, 0.01).passed).toBe(true);
  expect(judge(0.021, 0.01).passed).toBe(false);
  expect(judge(0.02, 0.01, 0.9998).passed).toBe(false);
  expect(judge(2 ** -11, 0).passed).toBe(true);
  expect(judge(2 ** -10, 0).passed).toBe(false);
});

test('integers must be equal', () => {
  expect(judgeOutput({ type: 'int64', difference: difference({}) }).passed).toBe(true);
  expect(judgeOutput({ type: 'int64', difference: difference({ maxAbs: 1, scale: 1e9 }) }).passed).toBe(false);
});

test('a tolerance replaces the limits, not the agreement on NaN', () => {
  expect(judgeOutput({ type: 'float32', difference: difference({ maxAbs: 0.01 }) }, 0.01).passed).toBe(true);
  expect(judgeOutput({ type: 'float16', difference: difference({ maxAbs: 0.02 }) }, 0.01).passed).toBe(false);
  expect(judgeOutput({ type: 'float32', difference: difference({ nonFiniteMismatches: 1 }) }, 1).passed).toBe(false);
});

test('modules: twice the original error and one rounding', () => {
  const judge = (rewritten: number, original: number) =>
    judgeModule({
      type: 'float32',
      original: difference({ maxAbs: original }),
      rewritten: difference({ maxAbs: rewritten }),
    });
  expect(judge(2e-6 + 2 ** -24, 1e-6).passed).toBe(true);
  expect(judge(2.1e-6 + 2 ** -24, 1e-6).passed).toBe(false);
  expect(judge(2 ** -24, 0).passed).toBe(true);
  expect(judge(1e-5, 1e-6).reason).toContain('exceeds');
  expect(errorRatio({ original: difference({ maxAbs: 2 }), rewritten: difference({ maxAbs: 3 }) })).toBe(1.5);
});
