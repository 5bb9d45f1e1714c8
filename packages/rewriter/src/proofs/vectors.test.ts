import { DataType } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { storedFloats } from '../../test/support/stored.js';
import { isExcessOf, isZeroVector, sameVector } from './vectors.js';

/** A zero of a type that is none of the operators'. */
const WHOLE = { ...storedFloats([0], [1]), dataType: DataType.INT32 };

describe('sameVector', () => {
  it('looks at values, not at axes of size one', async () => {
    expect(await sameVector(storedFloats([1, 2], [2]), storedFloats([1, 2], [1, 2]))).toBe(true);
    expect(await sameVector(storedFloats([1, 2], [2], 'float16'), storedFloats([1, 2], [2]))).toBe(true);
    expect(await sameVector(storedFloats([1, 2], [2]), storedFloats([1, 2.0000002], [2]))).toBe(false);
    expect(await sameVector(storedFloats([1, 2], [2]), storedFloats([1, 2, 3], [3]))).toBe(false);
    expect(await sameVector(storedFloats([1, 2, 3], [3]), storedFloats([1, 2], [2]))).toBe(false);
  });

  it('compares no other types', async () => {
    expect(await sameVector(WHOLE, storedFloats([0], [1]))).toBe(false);
    expect(await sameVector(storedFloats([0], [1]), WHOLE)).toBe(false);
    expect(await isZeroVector(WHOLE)).toBe(false);
  });
});

describe('isZeroVector', () => {
  it('takes zeros of both signs', async () => {
    expect(await isZeroVector(storedFloats([0, -0], [2]))).toBe(true);
    expect(await isZeroVector(storedFloats([0, 1e-45], [2]))).toBe(false);
    expect(await isZeroVector(storedFloats([0, Number.NaN], [2]))).toBe(false);
  });
});

describe('isExcessOf', () => {
  const gains = [1, 1.0000001192092896, 0.999, 3.7, -2, 1e-3];

  it.each(['float32', 'float16', 'bfloat16'] as const)('takes g − 1 rounded once, in %s', async (type) => {
    const g = storedFloats(gains, [1, gains.length]);
    const exact = Float64Array.from(gains, (gain) => Math.fround(gain) - 1);
    expect(await isExcessOf(storedFloats(exact, [gains.length], type), g)).toBe(true);
  });

  it('refuses a difference of one unit of the last place', async () => {
    const g = storedFloats([1.5], [1]);
    expect(await isExcessOf(storedFloats([0.5], [1]), g)).toBe(true);
    expect(await isExcessOf(storedFloats([0.5 + 2 ** -24], [1]), g)).toBe(false);
    expect(await isExcessOf(storedFloats([0.5 + 2 ** -11], [1], 'float16'), g)).toBe(false);
    expect(await isExcessOf(storedFloats([1.5], [1]), g)).toBe(false);
  });

  it('refuses other lengths and types', async () => {
    expect(await isExcessOf(storedFloats([0.5], [1]), storedFloats([1.5, 1.5], [2]))).toBe(false);
    expect(await isExcessOf(WHOLE, storedFloats([1], [1]))).toBe(false);
    expect(await isExcessOf(storedFloats([0], [1]), WHOLE)).toBe(false);
  });
});
