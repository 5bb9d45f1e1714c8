import { describe, expect, test } from 'vitest';
import {
  asElements,
  DataType,
  describeTensor,
  elementTypeOf,
  inlineBytes,
  makeTensor,
  type TensorProto,
  toFloat32,
} from './index.js';

const empty = (dataType: number, dims: number[]): TensorProto => ({
  ...makeTensor('t', DataType.FLOAT, [0], new Float32Array(0)),
  dataType,
  dims: dims.map(BigInt),
  rawData: undefined,
});

describe('elements in typed fields become raw bytes', () => {
  const cases: Record<string, [TensorProto, number[]]> = {
    float32: [{ ...empty(DataType.FLOAT, [2]), floatData: Float32Array.of(1, -2) }, [0, 0, 128, 63, 0, 0, 0, 192]],
    float64: [{ ...empty(DataType.DOUBLE, []), doubleData: Float64Array.of(1) }, [0, 0, 0, 0, 0, 0, 240, 63]],
    complex64: [{ ...empty(DataType.COMPLEX64, [1]), floatData: Float32Array.of(1, 0) }, [0, 0, 128, 63, 0, 0, 0, 0]],
    int64: [
      { ...empty(DataType.INT64, [1]), int64Data: BigInt64Array.of(-2n) },
      [254, 255, 255, 255, 255, 255, 255, 255],
    ],
    uint64: [{ ...empty(DataType.UINT64, [1]), uint64Data: BigUint64Array.of(2n ** 63n) }, [0, 0, 0, 0, 0, 0, 0, 128]],
    uint32: [{ ...empty(DataType.UINT32, [1]), uint64Data: BigUint64Array.of(0xfffffffen) }, [254, 255, 255, 255]],
    int32: [{ ...empty(DataType.INT32, [1]), int32Data: Int32Array.of(-2) }, [254, 255, 255, 255]],
    int8: [{ ...empty(DataType.INT8, [2]), int32Data: Int32Array.of(-1, 5) }, [255, 5]],
    uint8: [{ ...empty(DataType.UINT8, [2]), int32Data: Int32Array.of(255, 5) }, [255, 5]],
    int16: [{ ...empty(DataType.INT16, [1]), int32Data: Int32Array.of(-2) }, [254, 255]],
    bool: [{ ...empty(DataType.BOOL, [3]), int32Data: Int32Array.of(1, 0, 1) }, [1, 0, 1]],
    float16: [{ ...empty(DataType.FLOAT16, [1]), int32Data: Int32Array.of(0xbc00) }, [0, 0xbc]],
    bfloat16: [{ ...empty(DataType.BFLOAT16, [1]), int32Data: Int32Array.of(0x3f80) }, [0x80, 0x3f]],
    'int4, three in two bytes': [{ ...empty(DataType.INT4, [3]), int32Data: Int32Array.of(0x21, 0x03) }, [0x21, 0x03]],
    'uint2, five in two bytes': [{ ...empty(DataType.UINT2, [5]), int32Data: Int32Array.of(0xe4, 0x01) }, [0xe4, 0x01]],
    // onnx.proto: byte0 = x0 | (x1 & 3) << 6; byte1 = x1 >> 2 | (x2 & 15) << 4; byte2 = x2 >> 4 | x3 << 2
    'float6e2m3, five in four bytes': [
      {
        ...empty(DataType.FLOAT6E2M3, [5]),
        int32Data: Int32Array.of(0b100001, 0b110011, 0b101010, 0b011110, 0b111111),
      },
      [0b11100001, 0b10101100, 0b01111010, 0b00111111],
    ],
  };
  test.each(Object.entries(cases))('%s', (_, [tensor, bytes]) => {
    expect(describeTensor(tensor).storage).toBe('typed');
    expect(describeTensor(tensor).byteLength).toBe(bytes.length);
    expect([...inlineBytes(tensor)]).toEqual(bytes);
  });
});

test('raw bytes are given as they are, without a copy', () => {
  const tensor = makeTensor('t', DataType.FLOAT, [2], Float32Array.of(1, 2));
  expect(inlineBytes(tensor).buffer).toBe(tensor.rawData!.buffer);
});

test('a count that does not fit the dims', () => {
  expect(() => describeTensor({ ...empty(DataType.INT4, [3]), int32Data: Int32Array.of(1, 2, 3) })).toThrow(
    "tensor 't' of int4[3] has 3 entries of int32Data, not 2",
  );
  expect(() => makeTensor('t', DataType.FLOAT16, [2, 2], new Uint16Array(3))).toThrow(
    "tensor 't' of float16[2, 2] takes 8 bytes, not 6",
  );
});

describe('to float32', () => {
  test('every float16, against the bits of float32', () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, half) => half);
    const floats = toFloat32(new Uint8Array(halves.buffer), elementTypeOf(DataType.FLOAT16));
    const bits = new Uint32Array(floats.buffer);
    for (const half of halves) {
      if (Number.isNaN(floats[half]!)) expect(half & 0x7fff).toBeGreaterThan(0x7c00);
      else expect(bits[half]).toBe(floatBitsOf(half));
    }
  });

  test('every bfloat16 is the upper half of a float32', () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, half) => half);
    const bits = new Uint32Array(toFloat32(new Uint8Array(halves.buffer), elementTypeOf(DataType.BFLOAT16)).buffer);
    for (const half of halves) expect(bits[half]).toBe(half * 65536);
  });

  test('float64 is rounded, other types are refused', () => {
    const doubles = new Uint8Array(Float64Array.of(0.1, 1e300).buffer);
    expect(toFloat32(doubles, elementTypeOf(DataType.DOUBLE))).toEqual(Float32Array.of(0.1, Number.POSITIVE_INFINITY));
    expect(() => toFloat32(doubles, elementTypeOf(DataType.INT8))).toThrow(/not read as float32/);
  });

  /** The same value in float32's bits, by moving exponent and mantissa: another way than the code under test takes. */
  function floatBitsOf(half: number): number {
    const sign = (half & 0x8000) * 65536;
    const magnitude = half & 0x7fff;
    if (magnitude >= 0x7c00) return sign + 0x7f800000;
    if (magnitude >= 0x400) return sign + (magnitude << 13) + (112 << 23);
    if (magnitude === 0) return sign;
    const shift = Math.clz32(magnitude) - 21;
    return sign + (((magnitude << shift) & 0x3ff) << 13) + ((113 - shift) << 23);
  }
});

test('elements at an odd place in a file', () => {
  const file = new Uint8Array([9, 0, 0, 128, 63, 0, 0, 0, 64]);
  expect(asElements(file.subarray(1), elementTypeOf(DataType.FLOAT))).toEqual(Float32Array.of(1, 2));
  const aligned = new Uint8Array(8);
  expect(asElements(aligned, elementTypeOf(DataType.INT64)).buffer).toBe(aligned.buffer);
});
