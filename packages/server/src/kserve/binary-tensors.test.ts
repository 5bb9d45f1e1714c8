import { describe, expect, it } from 'vitest';
import { decodeBinaryData, encodeBinaryData } from './binary-tensors.js';

const bytes = (...values: number[]) => new Uint8Array(values);

describe('decodeBinaryData', () => {
  it('views aligned bytes and copies others', () => {
    const buffer = new ArrayBuffer(17);
    const aligned = decodeBinaryData('x', 'FP32', 'float32', 2, new Uint8Array(buffer, 8, 8)) as Float32Array;
    expect(aligned.buffer).toBe(buffer);
    const misaligned = new Uint8Array(buffer, 9, 8);
    misaligned.set([0, 0, 128, 63, 0, 0, 0, 64]);
    expect(decodeBinaryData('x', 'FP32', 'float32', 2, misaligned)).toStrictEqual(new Float32Array([1, 2]));
  });

  it('is little-endian', () => {
    expect(decodeBinaryData('x', 'UINT32', 'uint32', 1, bytes(1, 2, 0, 0))).toStrictEqual(new Uint32Array([0x201]));
    expect(decodeBinaryData('x', 'BF16', 'bfloat16', 1, bytes(0x80, 0x3f))).toStrictEqual(new Uint16Array([0x3f80]));
  });

  it('reads strings', () => {
    expect(decodeBinaryData('x', 'BYTES', 'string', 2, bytes(2, 0, 0, 0, 0xc3, 0xa9, 0, 0, 0, 0))).toStrictEqual([
      'é',
      '',
    ]);
  });

  it.each<[string, () => unknown, string]>([
    [
      'a wrong size',
      () => decodeBinaryData('x', 'FP32', 'float32', 2, bytes(1, 2, 3)),
      '2 elements of FP32 take 8 bytes, binary_data_size is 3',
    ],
    [
      'a BOOL of 2',
      () => decodeBinaryData('x', 'BOOL', 'bool', 2, bytes(1, 2)),
      'BOOL elements are the bytes 0 and 1, got 2',
    ],
    [
      'a string beyond the end',
      () => decodeBinaryData('x', 'BYTES', 'string', 1, bytes(9, 0, 0, 0, 65)),
      'element 0 of 1 reaches beyond the 5 bytes',
    ],
    [
      'a length beyond the end',
      () => decodeBinaryData('x', 'BYTES', 'string', 2, bytes(3, 0, 0, 0, 65, 65, 65, 1)),
      'element 1 of 2 reaches beyond',
    ],
    ['a huge length', () => decodeBinaryData('x', 'BYTES', 'string', 1, bytes(255, 255, 255, 255)), 'reaches beyond'],
    [
      'too many strings',
      () => decodeBinaryData('x', 'BYTES', 'string', 2 ** 30, bytes(0, 0, 0, 0)),
      'take at least 4294967296 bytes',
    ],
    [
      'bytes left over',
      () => decodeBinaryData('x', 'BYTES', 'string', 1, bytes(0, 0, 0, 0, 1)),
      '1 elements end after 4 bytes',
    ],
    [
      'bad UTF-8',
      () => decodeBinaryData('x', 'BYTES', 'string', 1, bytes(1, 0, 0, 0, 0xff)),
      'element 0 is not valid UTF-8',
    ],
  ])('refuses %s', (_what, decode, message) => {
    expect(decode).toThrow(message);
  });
});

describe('encodeBinaryData', () => {
  it('gives out the memory of the tensor itself', () => {
    const data = new BigInt64Array([1n, -1n]).subarray(1);
    const encoded = encodeBinaryData({ type: 'int64', data, dims: [1] });
    expect(encoded.buffer).toBe(data.buffer);
    expect([...encoded]).toStrictEqual(new Array(8).fill(255));
  });

  it('round-trips strings', () => {
    const strings = ['', 'é', '\u0000', 'long '.repeat(100)];
    const encoded = encodeBinaryData({ type: 'string', data: strings, dims: [4] });
    expect(decodeBinaryData('x', 'BYTES', 'string', 4, new Uint8Array(encoded))).toStrictEqual(strings);
  });
});
