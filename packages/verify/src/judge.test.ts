import { expect, test } from 'vitest';
import { type Difference, difference, worse } from './difference.js';
import { errorRatio, judgeModule, judgeOutput, judgeReference } from './judge.js';

const figures = (fields: Partial<Difference>): Difference => ({
  elements: 100,
  maxAbs: fields.relative ?? 0,
  relative: 0,
  cosine: 1,
  nonFiniteMismatches: 0,
  ...fields,
});

test('a difference is taken over finite elements; others must agree', () => {
  const first = difference(
    [1, Number.NaN, Number.POSITIVE_INFINITY, 2],
    [1, Number.NaN, Number.POSITIVE_INFINITY, 1.5],
  );
  expect(first).toMatchObject({ elements: 4, maxAbs: 0.5, relative: 1 / 3, nonFiniteMismatches: 0 });
  const second = difference([Number.NaN, 3], [0, Number.POSITIVE_INFINITY]);
  expect(worse(first, second)).toMatchObject({ elements: 6, maxAbs: 0.5, relative: 1 / 3, nonFiniteMismatches: 2 });
});

test('each tensor is measured by its own scale', () => {
  const large = difference([1000, 0], [1000.1, 0]);
  const small = difference([1, 0], [1.01, 0]);
  expect(worse(large, small).relative).toBeCloseTo(0.01 / 1.01, 12);
});

test('all zeros are like all zeros, and like nothing else', () => {
  expect(difference([0, 0], [0, 0])).toMatchObject({ cosine: 1, relative: 0 });
  expect(difference([1, 0], [0, 0])).toMatchObject({ cosine: 0, relative: Number.MAX_VALUE });
  expect(judgeOutput({ type: 'float32', difference: difference([1, 0], [0, 0]) }).passed).toBe(false);
});

test('tensors of different lengths are not compared', () => {
  expect(() => difference([1], [1, 2])).toThrow(RangeError);
});

test.each([
  ['float32 at its limit', { relative: 1e-4 }, true],
  ['float32 past its limit', { relative: 1.01e-4 }, false],
  ['float32 pointing elsewhere', { cosine: 0.99999 }, false],
  ['NaN in one only', { nonFiniteMismatches: 1 }, false],
  ['a figure that is NaN', { relative: Number.NaN }, false],
] as const)('outputs: %s', (_name, fields, passed) => {
  expect(judgeOutput({ type: 'float32', difference: figures(fields) }).passed).toBe(passed);
});

test('half outputs are judged by their distance from float32, not from each other', () => {
  const judge = (rewritten: number, original: number, cosine = 1) =>
    judgeOutput({
      type: 'float16',
      difference: figures({ relative: 0.5, cosine }),
      fromFloat32: { rewritten: figures({ relative: rewritten }), original: figures({ relative: original }) },
    });
  expect(judge(0.02, 0.01).passed).toBe(true);
  expect(judge(0.021, 0.01).passed).toBe(false);
  expect(judge(0.02, 0.01, 0.9998).passed).toBe(false);
  expect(judge(2 ** -11, 0).passed).toBe(true);
  expect(judge(2 ** -10, 0).passed).toBe(false);
});

test('float32 outputs of half models are judged by their distance from float32 too', () => {
  const judge = (rewritten: number, original: number) =>
    judgeOutput({
      type: 'float32',
      difference: figures({ relative: 0.5 }),
      fromFloat32: { rewritten: figures({ relative: rewritten }), original: figures({ relative: original }) },
    });
  expect(judge(1e-3, 5e-4).passed).toBe(true);
  expect(judge(1.01e-3, 5e-4).passed).toBe(false);
  expect(judge(1e-4, 0).passed).toBe(true);
  expect(judge(1.01e-4, 0).passed).toBe(false);
});

test('half outputs without a float32 graph may differ by twice a rounding', () => {
  expect(judgeOutput({ type: 'bfloat16', difference: figures({ relative: 2 ** -7 }) }).passed).toBe(true);
  expect(judgeOutput({ type: 'bfloat16', difference: figures({ relative: 2 ** -6 }) }).passed).toBe(false);
});

test('integers must be equal', () => {
  expect(judgeOutput({ type: 'int64', difference: figures({}) }).passed).toBe(true);
  expect(judgeOutput({ type: 'int64', difference: figures({ maxAbs: 1, relative: 1e-9 }) }).passed).toBe(false);
});

test('a tolerance replaces the limits, not the agreement on NaN', () => {
  expect(judgeOutput({ type: 'float32', difference: figures({ relative: 0.01 }) }, 0.01).passed).toBe(true);
  expect(judgeOutput({ type: 'float16', difference: figures({ relative: 0.02 }) }, 0.01).passed).toBe(false);
  expect(judgeOutput({ type: 'float32', difference: figures({ nonFiniteMismatches: 1 }) }, 1).passed).toBe(false);
});

test('modules: twice the original error and one rounding', () => {
  const judge = (rewritten: number, original: number) =>
    judgeModule({
      type: 'float32',
      original: figures({ relative: original }),
      rewritten: figures({ relative: rewritten }),
    });
  expect(judge(2e-6 + 2 ** -24, 1e-6).passed).toBe(true);
  expect(judge(2.1e-6 + 2 ** -24, 1e-6).passed).toBe(false);
  expect(judge(2 ** -24, 0).passed).toBe(true);
  expect(judge(1e-5, 1e-6).reason).toContain('exceeds');
  expect(errorRatio({ original: figures({ relative: 2 }), rewritten: figures({ relative: 3 }) })).toBe(1.5);
});

test('a reference that is not the original module is no reference', () => {
  expect(judgeReference(figures({ relative: 1e-6 })).passed).toBe(true);
  expect(judgeReference(figures({ relative: 1e-3 })).reason).toContain('not what the rewrite took it for');
});
