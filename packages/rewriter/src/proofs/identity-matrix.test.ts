import { DataType } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { storedFloats } from '../../test/support/stored.js';
import { countsFromZero, isIdentityMatrix } from './identity-matrix.js';

const bytes = (data: Uint8Array, dataType: number, dims: readonly number[]) => ({
  name: 'stored',
  dataType,
  dims,
  byteLength: data.length,
  read: async (start = 0, end = data.length) => data.subarray(start, end),
});

describe('isIdentityMatrix', () => {
  const eye = (size: number) =>
    Uint8Array.from({ length: size * size }, (_, index) => Number(index % (size + 1) === 0));

  it('takes truth values and numbers', async () => {
    expect(await isIdentityMatrix(bytes(eye(5), DataType.BOOL, [5, 5]))).toBe(true);
    expect(await isIdentityMatrix(storedFloats(eye(5), [5, 5]))).toBe(true);
    expect(await isIdentityMatrix(storedFloats(eye(5), [5, 5], 'float16'))).toBe(true);
  });

  it('reads large ones in chunks', async () => {
    const size = 1500;
    expect(await isIdentityMatrix(bytes(eye(size), DataType.BOOL, [size, size]))).toBe(true);
    const last = eye(size);
    last[size * size - 2] = 1;
    expect(await isIdentityMatrix(bytes(last, DataType.BOOL, [size, size]))).toBe(false);
  });

  it('refuses others', async () => {
    expect(await isIdentityMatrix(bytes(eye(5), DataType.BOOL, [1, 25]))).toBe(false);
    expect(await isIdentityMatrix(bytes(eye(5), DataType.BOOL, [5, 5, 1]))).toBe(false);
    expect(await isIdentityMatrix(storedFloats([1, 0, 0, 1.0000001], [2, 2]))).toBe(false);
    expect(await isIdentityMatrix(bytes(new Uint8Array(4), DataType.STRING, [2, 2]))).toBe(false);
  });
});

describe('countsFromZero', () => {
  it.each([
    [DataType.UINT8, Uint8Array.of(0, 1, 2)],
    [DataType.UINT16, Uint16Array.of(0, 1, 2)],
    [DataType.INT64, BigInt64Array.of(0n, 1n, 2n)],
    [DataType.INT32, Int32Array.of(0, 1, 2)],
    [DataType.DOUBLE, Float64Array.of(0, 1, 2)],
  ])('in type %i', async (type, data) => {
    expect(await countsFromZero(bytes(new Uint8Array(data.buffer), type, [3]))).toBe(true);
    data[1] = data[2]!;
    expect(await countsFromZero(bytes(new Uint8Array(data.buffer), type, [3]))).toBe(false);
  });
});
