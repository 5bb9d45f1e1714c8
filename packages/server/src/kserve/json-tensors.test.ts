import type { TensorData } from '@ort-dora/runtime';
import { describe, expect, it } from 'vitest';
import type { Datatype } from './datatypes.js';
import { decodeJsonData, encodeJsonData, InexactInteger } from './json-tensors.js';

const decode = (datatype: Datatype, shape: number[], data: unknown) =>
  decodeJsonData(
    'input "x"',
    datatype,
    shape,
    shape.reduce((product, length) => product * length, 1),
    data,
  );
const encode = (type: TensorData['type'], data: TensorData['data']) =>
  [...encodeJsonData({ type, data, dims: [data.length] })].join('');

describe('decodeJsonData', () => {
  it('takes flat and nested data', () => {
    const expected = new Float32Array([1, 2, 3, 4, 5, 6]);
    expect(decode('FP32', [2, 3], [1, 2, 3, 4, 5, 6])).toStrictEqual(expected);
    expect(
      decode(
        'FP32',
        [2, 3],
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
      ),
    ).toStrictEqual(expected);
    expect(decode('FP32', [2, 1, 3], [[[1, 2, 3]], [[4, 5, 6]]])).toStrictEqual(expected);
    expect(decode('INT8', [], [7])).toStrictEqual(new Int8Array([7]));
    expect(decode('INT8', [2, 0], [[], []])).toStrictEqual(new Int8Array(0));
    expect(decode('INT8', [0, 2], [])).toStrictEqual(new Int8Array(0));
  });

  it.each<[Datatype, unknown[], TensorData['data']]>([
    ['BOOL', [true, false], new Uint8Array([1, 0])],
    ['INT8', [-128, 127], new Int8Array([-128, 127])],
    ['INT16', [-32768, 32767], new Int16Array([-32768, 32767])],
    ['INT32', [-2147483648, 2147483647], new Int32Array([-2147483648, 2147483647])],
    ['UINT8', [0, 255], new Uint8Array([0, 255])],
    ['UINT16', [0, 65535], new Uint16Array([0, 65535])],
    ['UINT32', [0, 4294967295], new Uint32Array([0, 4294967295])],
    ['INT64', [-1, '-9223372036854775808'], new BigInt64Array([-1n, -(2n ** 63n)])],
    ['UINT64', [2 ** 53 - 1, 2n ** 64n - 1n], new BigUint64Array([2n ** 53n - 1n, 2n ** 64n - 1n])],
    ['FP32', [0.1, 'NaN'], new Float32Array([0.1, Number.NaN])],
    ['FP64', ['Infinity', '-Infinity'], new Float64Array([Infinity, -Infinity])],
    ['BYTES', ['', 'é'], ['', 'é']],
  ])('reads %s', (datatype, data, expected) => {
    expect(decode(datatype, [data.length], data)).toStrictEqual(expected);
  });

  it('reports integers that JSON.parse has rounded', () => {
    expect(() => decode('INT64', [1], [2 ** 53])).toThrow(InexactInteger);
  });

  it.each<[string, Datatype, number[], unknown, string]>([
    ['a missing array', 'FP32', [1], undefined, 'input "x": expected "data" as an array of 1 elements, got none'],
    ['a scalar', 'FP32', [1], 5, 'got a number'],
    ['too few', 'FP32', [2, 2], [1, 2, 3], 'shape [2, 2] has 4 elements, "data" has 3'],
    ['a shorter row', 'FP32', [2, 2], [[1, 2], [3]], 'expected 2 elements along axis 1 of shape [2, 2], got 1'],
    [
      'mixed depth',
      'FP32',
      [2, 1],
      [[1], 2],
      'expected nested arrays 2 deep, as in its shape, got a number at depth 1',
    ],
    ['nesting beyond the shape', 'FP32', [2], [[1], [2]], 'element 0: expected a number in the range of FP32'],
    ['nesting of a scalar', 'FP32', [], [[1]], 'expected no elements along axis 0'],
    ['a fraction', 'INT32', [1], [1.5], 'element 0: expected an integer from -2147483648 to 2147483647, got 1.5'],
    ['overflow', 'UINT8', [2], [0, 256], 'element 1: expected an integer from 0 to 255, got 256'],
    ['64-bit overflow', 'INT64', [1], [2n ** 63n], 'got 9223372036854775808'],
    ['a negative unsigned', 'UINT64', [1], [-1], 'expected an integer from 0 to 18446744073709551615, got -1'],
    ['a number for BOOL', 'BOOL', [1], [1], 'expected true or false, got 1'],
    ['a number for BYTES', 'BYTES', [1], [1], 'expected a string, got 1'],
    ['null', 'FP32', [1], [null], 'got null'],
    ['a float beyond FP32', 'FP32', [1], [1e39], 'in the range of FP32'],
    ['FP16', 'FP16', [1], [1], 'FP16 cannot be sent as JSON; send it as binary data'],
    ['BF16', 'BF16', [1], [1], 'BF16 cannot be sent as JSON'],
  ])('refuses %s', (_what, datatype, shape, data, message) => {
    expect(() => decode(datatype, shape, data)).toThrow(message);
  });

  it('compares sizes before it allocates', () => {
    expect(() => decodeJsonData('x', 'FP64', [2 ** 30], 2 ** 30, [1])).toThrow('has 1073741824 elements, "data" has 1');
  });
});

describe('encodeJsonData', () => {
  it('writes every value exactly', () => {
    expect(encode('float32', new Float32Array([0.1, -0, Number.NaN, Infinity, -Infinity]))).toBe(
      '[0.10000000149011612,-0.0,"NaN","Infinity","-Infinity"]',
    );
    expect(encode('uint64', new BigUint64Array([2n ** 64n - 1n, 0n]))).toBe('[18446744073709551615,0]');
    expect(encode('bool', new Uint8Array([1, 0]))).toBe('[true,false]');
    expect(encode('string', ['a"b', 'é', ''])).toBe('["a\\"b","é",""]');
    expect(encode('int8', new Int8Array(0))).toBe('[]');
  });

  it('writes large tensors in pieces that join to the whole', () => {
    const data = Float64Array.from({ length: 20_000 }, (_, index) => (index % 9000 === 1 ? -0 : index / 7));
    const pieces = [...encodeJsonData({ type: 'float64', data, dims: [20_000] })];
    expect(pieces.length).toBe(5);
    expect(Float64Array.from(JSON.parse(pieces.join('')) as number[])).toStrictEqual(data);
  });
});
