/** Dequantized weights against what ONNX Runtime makes of the same tensors, to the bit. */

import {
  DataType,
  elementTypeOf,
  makeGraph,
  makeModel,
  makeNode,
  makeTensor,
  makeValueInfo,
  type TensorProto,
} from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { seeded, toBytes } from '../../test/support/numbers.js';
import { runModel } from '../../test/support/ort.js';
import { numbersOf } from '../../test/support/tensors.js';
import { toFloat32 } from '../tensors/elements.js';
import { inlineTensor } from '../tensors/inline.js';
import { dequantizeBlocks, dequantizeLinear } from './dequantized.js';

const stored = (tensor: TensorProto) => inlineTensor(tensor)!;
const product = (dims: readonly number[]) => dims.reduce((total, dim) => total * dim, 1);

/** A tensor of random bytes. */
function randomBytes(
  name: string,
  dataType: number,
  dims: readonly number[],
  seed: number,
  byteLength?: number,
): TensorProto {
  const random = seeded(seed);
  const bytes = Uint8Array.from(
    { length: byteLength ?? Math.ceil((product(dims) * elementTypeOf(dataType).bits) / 8) },
    () => Math.floor(random() * 1000) & 255,
  );
  return makeTensor(name, dataType, dims, bytes);
}

function randomScales(name: string, dims: readonly number[], type: 'float32' | 'float16'): TensorProto {
  const random = seeded(7);
  const values = Float64Array.from({ length: product(dims) }, () => 0.01 + Math.abs(random()));
  return makeTensor(name, type === 'float32' ? DataType.FLOAT : DataType.FLOAT16, dims, toBytes(values, type));
}

async function floats(
  numbers: ReturnType<typeof dequantizeLinear>,
  start?: number,
  end?: number,
): Promise<Float32Array> {
  if (typeof numbers === 'string') throw new Error(numbers);
  return toFloat32(await numbers.read(start, end), 'float32').slice();
}

describe.each<{
  type: keyof typeof DataType;
  dims: readonly number[];
  scales: readonly number[];
  scaleType?: 'float32' | 'float16';
  axis?: number;
  blockSize?: number;
  zero?: boolean;
}>([
  { type: 'INT8', dims: [6, 5], scales: [] },
  { type: 'INT8', dims: [6, 5], scales: [5], axis: 1 },
  { type: 'INT8', dims: [6, 5], scales: [6], axis: 0, zero: true },
  { type: 'UINT8', dims: [6, 5], scales: [5], axis: 1, zero: true },
  { type: 'UINT8', dims: [6, 5], scales: [6], axis: 0, zero: true, scaleType: 'float16' },
  { type: 'INT16', dims: [6, 5], scales: [6], axis: 0 },
  { type: 'UINT16', dims: [3, 4], scales: [], zero: true },
  { type: 'INT4', dims: [5, 7], scales: [5], axis: 0, zero: true },
  { type: 'UINT4', dims: [5, 7], scales: [], zero: true },
  { type: 'INT4', dims: [32, 5], scales: [2, 5], axis: 0, blockSize: 16, zero: true },
  { type: 'INT8', dims: [3, 40], scales: [3, 3], axis: 1, blockSize: 16 },
  { type: 'UINT4', dims: [2, 32, 3], scales: [2, 2, 3], axis: 1, blockSize: 16, scaleType: 'float16' },
  { type: 'FLOAT8E4M3FN', dims: [16, 16], scales: [] },
  { type: 'FLOAT8E4M3FN', dims: [4, 64], scales: [64], axis: 1 },
  { type: 'FLOAT8E4M3FNUZ', dims: [16, 16], scales: [] },
  { type: 'FLOAT8E5M2', dims: [16, 16], scales: [], scaleType: 'float16' },
  { type: 'FLOAT8E5M2FNUZ', dims: [16, 16], scales: [16], axis: 0 },
])(
  'DequantizeLinear of $type $dims by $scales',
  ({ type, dims, scales, scaleType = 'float32', axis = 1, blockSize = 0, zero = false }) => {
    const dataType = DataType[type] as number;
    const isFloat8 = type.startsWith('FLOAT8');
    // All 256 values of the 8-bit floats.
    const quantized = isFloat8
      ? makeTensor(
          'q',
          dataType,
          dims,
          Uint8Array.from({ length: 256 }, (_, index) => index),
        )
      : randomBytes('q', dataType, dims, 3);
    const scale = randomScales('scale', scales, scaleType);
    const zeroPoint = zero ? randomBytes('zero', dataType, scales, 5) : undefined;
    const numbers = dequantizeLinear({
      quantized: stored(quantized),
      scale: stored(scale),
      zeroPoint: zeroPoint && stored(zeroPoint),
      axis,
      blockSize,
    });

    it('is what ONNX Runtime computes', async () => {
      const node = makeNode('DequantizeLinear', ['q', 'scale', ...(zero ? ['zero'] : [])], ['y'], {
        attributes: { axis: { int: axis }, ...(blockSize > 0 ? { block_size: { int: blockSize } } : {}) },
      });
      const cast = makeNode('Cast', ['y'], ['wide'], { attributes: { to: { int: DataType.FLOAT } } });
      const graph = makeGraph('dequantize', {
        nodes: [node, cast],
        outputs: [makeValueInfo('wide', DataType.FLOAT)],
        initializers: [quantized, scale, ...(zeroPoint ? [zeroPoint] : [])],
      });
      const { wide } = await runModel(makeModel(graph, { opsets: { '': 21 } }), {});
      expect([...(await floats(numbers))]).toEqual(Array.from(numbersOf(wide!)));
    });

    it('reads any range', async () => {
      const whole = await floats(numbers);
      for (const [start, end] of [
        [0, 1],
        [3, 11],
        [whole.length - 3, whole.length],
        [4, 4],
      ] as const) {
        expect([...(await floats(numbers, 4 * start, 4 * end))]).toEqual([...whole.slice(start, end)]);
      }
    });
  },
);

describe.each([
  { bits: 4, zeros: 'none', scaleType: 'float32' },
  { bits: 4, zeros: 'packed', scaleType: 'float32' },
  { bits: 4, zeros: 'float', scaleType: 'float32' },
  { bits: 4, zeros: 'packed', scaleType: 'float16' },
  { bits: 8, zeros: 'none', scaleType: 'float32' },
  { bits: 8, zeros: 'packed', scaleType: 'float32' },
] as const)('MatMulNBits of $bits bits, zero points: $zeros, scales $scaleType', ({ bits, zeros, scaleType }) => {
  const [outFeatures, inFeatures, blockSize] = [5, 72, 32];
  const blocks = Math.ceil(inFeatures / blockSize);
  const packed = randomBytes('packed', DataType.UINT8, [outFeatures, blocks, (blockSize * bits) / 8], 3);
  const scales = randomScales('scales', [outFeatures, blocks], scaleType);
  const zeroPoints =
    zeros === 'none'
      ? undefined
      : zeros === 'float'
        ? { ...randomScales('zeros', [outFeatures, blocks], scaleType) }
        : randomBytes('zeros', DataType.UINT8, [outFeatures, Math.ceil((blocks * bits) / 8)], 5);
  const numbers = dequantizeBlocks({
    packed: stored(packed),
    scales: stored(scales),
    zeroPoints: zeroPoints && stored(zeroPoints),
    bits,
    blockSize,
    outFeatures,
    inFeatures,
  });

  it('is what ONNX Runtime multiplies with', async () => {
    const half = scaleType === 'float16';
    const node = makeNode(
      'MatMulNBits',
      [half ? 'x16' : 'x', 'packed', 'scales', ...(zeroPoints ? ['zeros'] : [])],
      [half ? 'y16' : 'y'],
      {
        domain: 'com.microsoft',
        attributes: {
          K: { int: inFeatures },
          N: { int: outFeatures },
          bits: { int: bits },
          block_size: { int: blockSize },
          accuracy_level: { int: 1 },
        },
      },
    );
    const cast = (from: string, to: string, type: number) =>
      makeNode('Cast', [from], [to], { attributes: { to: { int: type } } });
    const graph = makeGraph('nbits', {
      inputs: [makeValueInfo('x', DataType.FLOAT, [inFeatures, inFeatures])],
      nodes: half ? [cast('x', 'x16', DataType.FLOAT16), node, cast('y16', 'y', DataType.FLOAT)] : [node],
      outputs: [makeValueInfo('y', DataType.FLOAT)],
      initializers: [packed, scales, ...(zeroPoints ? [zeroPoints] : [])],
    });
    const eye = Float32Array.from({ length: inFeatures ** 2 }, (_, index) => (index % (inFeatures + 1) === 0 ? 1 : 0));
    const { y } = await runModel(makeModel(graph, { opsets: { '': 21, 'com.microsoft': 1 } }), {
      x: new ort.Tensor('float32', eye, [inFeatures, inFeatures]),
    });
    const transposed = numbersOf(y!);
    const expected = Float64Array.from(
      { length: outFeatures * inFeatures },
      (_, index) => transposed[(index % inFeatures) * outFeatures + Math.floor(index / inFeatures)]!,
    );
    const values = await floats(numbers);
    // The float16 kernel rounds to its output type; with float zero points ONNX Runtime multiplies before it subtracts.
    const tolerance = half ? 2 ** -11 : zeros === 'float' ? 2 ** -22 : 0;
    const largest = Math.max(...expected.map(Math.abs));
    for (const [index, value] of values.entries()) {
      expect(Math.abs(value - expected[index]!)).toBeLessThanOrEqual(tolerance * (half ? Math.abs(value) : largest));
    }
  });

  it('reads any range', async () => {
    const whole = await floats(numbers);
    for (const [start, end] of [
      [0, 1],
      [70, 75],
      [whole.length - 3, whole.length],
    ] as const) {
      expect([...(await floats(numbers, 4 * start, 4 * end))]).toEqual([...whole.slice(start, end)]);
    }
  });
});

describe('what does not fit together is named, not read', () => {
  const eight = {
    quantized: stored(randomBytes('q', DataType.INT8, [6, 5], 1)),
    zeroPoint: undefined,
    axis: 1,
    blockSize: 0,
  };
  const scale = (dims: readonly number[]) => stored(randomScales('scale', dims, 'float32'));
  it.each([
    [{ ...eight, scale: scale([6]) }, 'the scales are [6], where [5] is expected'],
    [{ ...eight, scale: scale([5]), axis: 2 }, 'the scales are [5], where [an axis within the shape] is expected'],
    [
      { ...eight, scale: stored(makeTensor('s', DataType.INT64, [], new BigInt64Array(1))) },
      'scales of type int64 are not known',
    ],
    [
      { ...eight, scale: scale([5]), zeroPoint: stored(randomBytes('z', DataType.INT8, [6], 1)) },
      'the zero points are int8[6], the scales [5]',
    ],
    [
      { ...eight, quantized: stored(randomBytes('q', DataType.INT64, [1], 1)), scale: scale([]) },
      'elements of type int64 are not dequantized here',
    ],
  ])('%#', (parts, reason) => {
    expect(dequantizeLinear(parts)).toBe(reason);
  });

  const blocks = {
    packed: stored(randomBytes('packed', DataType.UINT8, [5, 3, 16], 3)),
    scales: scale([5, 3]),
    zeroPoints: undefined,
    bits: 4,
    blockSize: 32,
    outFeatures: 5,
    inFeatures: 72,
  };
  it.each([
    [{ ...blocks, bits: 3 }, '3 bits an element are not known'],
    [{ ...blocks, blockSize: 0 }, 'blocks of 0 elements are not known'],
    [{ ...blocks, inFeatures: 2 ** 40 }, 'the weights have 240 bytes'],
    [{ ...blocks, scales: scale([5, 2]) }, 'there are 10 scales for 15 blocks'],
    [
      { ...blocks, zeroPoints: stored(randomBytes('z', DataType.UINT8, [5], 1)) },
      'the zero points have 5 bytes, not 10',
    ],
  ])('%#', (parts, reason) => {
    expect(dequantizeBlocks(parts)).toContain(reason);
  });
});
