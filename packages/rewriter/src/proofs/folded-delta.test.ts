import { DataType } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { matMul, rounded, seeded, transposed } from '../../test/support/numbers.js';
import { storedFloats } from '../../test/support/stored.js';
import { isProductOf } from './folded-delta.js';

const [OUT, IN, RANK] = [5, 7, 3];
const next = seeded(1);
const random = (count: number) => rounded(Float64Array.from({ length: count }, next), 'float32');
const b = random(OUT * RANK);
const a = random(RANK * IN);
const product = matMul(b, a, OUT, RANK, IN);
const matrix = (
  values: ArrayLike<number>,
  dims: readonly number[],
  type: 'float32' | 'float16' | 'bfloat16' = 'float32',
) => ({
  tensor: storedFloats(values, dims, type),
  transposed: false,
});
const [A, B] = [matrix(a, [RANK, IN]), matrix(b, [OUT, RANK])];

describe('isProductOf', () => {
  it.each(['float32', 'float16', 'bfloat16'] as const)('takes a product that was rounded to %s', async (type) => {
    expect(await isProductOf(matrix(product, [OUT, IN], type), B, A)).toBe(true);
  });

  it('takes factors and products as they are stored', async () => {
    const turned = (values: Float64Array, rows: number, columns: number) => ({
      tensor: storedFloats(transposed(values, rows, columns), [columns, rows]),
      transposed: true,
    });
    const delta = turned(Float64Array.from(product), OUT, IN);
    expect(await isProductOf(delta, turned(b, OUT, RANK), turned(a, RANK, IN))).toBe(true);
  });

  it('refuses one element that is off by more than rounding', async () => {
    for (const index of [0, OUT * IN - 1]) {
      const off = Float64Array.from(product, (value, at) => (at === index ? value * (1 + 1e-5) + 1e-5 : value));
      expect(await isProductOf(matrix(off, [OUT, IN]), B, A)).toBe(false);
    }
    const broken = Float64Array.from(product, (value, at) => (at === 3 ? Number.NaN : value));
    expect(await isProductOf(matrix(broken, [OUT, IN]), B, A)).toBe(false);
  });

  it('refuses other types', async () => {
    const whole = (of: typeof A) => ({ ...of, tensor: { ...of.tensor, dataType: DataType.INT32 } });
    const delta = matrix(product, [OUT, IN]);
    expect(await isProductOf(whole(delta), B, A)).toBe(false);
    expect(await isProductOf(delta, whole(B), A)).toBe(false);
    expect(await isProductOf(delta, B, whole(A))).toBe(false);
  });
});
