import { DataType } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { rounded, seeded, transposed } from '../../test/support/numbers.js';
import { storedFloats } from '../../test/support/stored.js';
import { sameMatrix } from './same-matrix.js';

const rows = 70;
const columns = 131;
const next = seeded(1);
const values = rounded(Float64Array.from({ length: rows * columns }, next), 'float16');

describe('sameMatrix', () => {
  const plain = { tensor: storedFloats(values, [rows, columns]), transposed: false };
  const turned = (of: Float64Array) => ({
    tensor: storedFloats(transposed(of, rows, columns), [columns, rows]),
    transposed: true,
  });
  const changed = values.with(rows * columns - 2, 0.5);

  it('compares as stored', async () => {
    expect(await sameMatrix(plain, plain)).toBe(true);
    const other = { tensor: storedFloats(changed, [rows, columns]), transposed: false };
    expect(await sameMatrix(plain, other)).toBe(false);
  });

  it('compares with a transposed copy', async () => {
    expect(await sameMatrix(plain, turned(values))).toBe(true);
    expect(await sameMatrix(turned(values), plain)).toBe(true);
    expect(await sameMatrix(plain, turned(changed))).toBe(false);
    expect(await sameMatrix(turned(values), turned(values))).toBe(true);
  });

  it('compares a half-precision matrix with its float32 copy by value', async () => {
    const half = { tensor: storedFloats(values, [rows, columns], 'float16'), transposed: false };
    expect(await sameMatrix(half, plain)).toBe(true);
    expect(await sameMatrix(turned(values), half)).toBe(true);
    const finer = values.with(3, values[3]! * (1 + 2 ** -20));
    expect(await sameMatrix(half, { tensor: storedFloats(finer, [rows, columns]), transposed: false })).toBe(false);
  });

  it('tells shapes apart without reading', async () => {
    const tensor = storedFloats(values, [columns, rows]);
    expect(await sameMatrix(plain, { tensor, transposed: false })).toBe(false);
    expect(tensor.reads).toEqual([]);
  });

  it('tells matrices of other rows or columns apart', async () => {
    const ones = (dims: readonly number[]) => ({
      tensor: storedFloats(new Float64Array(dims[0]! * dims[1]!), dims),
      transposed: false,
    });
    expect(await sameMatrix(ones([2, 3]), ones([3, 3]))).toBe(false);
    expect(await sameMatrix(ones([2, 3]), ones([2, 4]))).toBe(false);
    expect(await sameMatrix(ones([3, 3]), ones([2, 3]))).toBe(false);
    expect(await sameMatrix(ones([2, 4]), ones([2, 3]))).toBe(false);
  });

  it('compares no other types', async () => {
    const whole = { tensor: { ...plain.tensor, dataType: DataType.INT32 }, transposed: false };
    expect(await sameMatrix(whole, whole)).toBe(false);
    expect(await sameMatrix(whole, plain)).toBe(false);
    expect(await sameMatrix(plain, whole)).toBe(false);
  });

  it('compares zeros by their sign, as bytes', async () => {
    const zeros = { tensor: storedFloats([0, 0], [1, 2]), transposed: false };
    expect(await sameMatrix(zeros, { tensor: storedFloats([0, -0], [1, 2]), transposed: false })).toBe(false);
  });

  it('finds a matrix without elements equal to itself', async () => {
    const empty = { tensor: storedFloats([], [0, 4]), transposed: false };
    expect(await sameMatrix(empty, { tensor: storedFloats([], [4, 0]), transposed: true })).toBe(true);
  });
});
