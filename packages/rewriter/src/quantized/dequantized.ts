/**
 * Quantized weights as the numbers that they stand for, read by range: float32, computed as ONNX Runtime computes them.
 */

import { asElements, DataType, type ElementTypeName, elementTypeOf } from '@ort-dora/onnx';
import { floatType, toFloat32 } from '../tensors/elements.js';
import { roundToFloat16 } from '../tensors/round-float16.js';
import type { FloatTensor, StoredTensor } from '../tensors/stored-tensor.js';
import { float8Values } from './float8.js';

/** Constant inputs of a DequantizeLinear node, and its attributes. */
export interface LinearQuantization {
  readonly quantized: StoredTensor;
  /** A scalar, one for each index of `axis`, or one for each block of `blockSize` along it. */
  readonly scale: StoredTensor;
  readonly zeroPoint: StoredTensor | undefined;
  readonly axis: number;
  /** 0: not in blocks. */
  readonly blockSize: number;
}

/**
 * `(quantized − zeroPoint) · scale` in float32, rounded to the scale's type (ONNX DequantizeLinear). Scales and zero
 * points are read as a whole at the first read, the quantized elements by range.
 *
 * @returns the reason where this is no quantization that is known.
 */
export function dequantizeLinear(parts: LinearQuantization): FloatTensor | string {
  const { quantized, scale, zeroPoint, axis, blockSize } = parts;
  const decode = decoder(quantized.dataType);
  const scaleType = floatType(scale.dataType);
  if (decode === undefined) return `elements of type ${typeName(quantized.dataType)} are not dequantized here`;
  if (scaleType === undefined || scaleType === 'bfloat16')
    return `scales of type ${typeName(scale.dataType)} are not known`;
  const { dims } = quantized;
  const expected = scaleDims(parts);
  if (expected === undefined || !sameCount(scale.dims, expected)) {
    return `the scales are [${scale.dims}], where [${expected ?? 'an axis within the shape'}] is expected`;
  }
  if (zeroPoint !== undefined && !(zeroPoint.dataType === quantized.dataType && sameCount(zeroPoint.dims, expected))) {
    return `the zero points are ${typeName(zeroPoint.dataType)}[${zeroPoint.dims}], the scales [${scale.dims}]`;
  }
  const inner = product(dims.slice(axis + 1));
  const along = dims[axis] ?? 1;
  const perTensor = product(expected) === 1;
  const blocks = blockSize === 0 ? along : Math.ceil(along / blockSize);
  const scaleIndex = (element: number): number => {
    if (perTensor) return 0;
    const index = Math.floor(element / inner) % along;
    if (blockSize === 0) return index;
    const outer = Math.floor(element / (inner * along));
    return (outer * blocks + Math.floor(index / blockSize)) * inner + (element % inner);
  };
  const parameters = once(async () => ({
    scales: toFloat32(await scale.read(), scaleType),
    zeros: zeroPoint === undefined ? undefined : decode(await zeroPoint.read(), 0, product(expected)),
  }));
  return lazily(quantized, product(dims), dims, async (first, count, values) => {
    const { scales, zeros } = await parameters();
    const { bytes, skipped } = await readElements(quantized, first, count);
    const elements = decode(bytes, skipped, count);
    for (let offset = 0; offset < count; offset++) {
      const at = scaleIndex(first + offset);
      values[offset] = (elements[offset]! - (zeros?.[at] ?? 0)) * scales[at]!;
    }
    if (scaleType === 'float16')
      for (let offset = 0; offset < count; offset++) values[offset] = roundToFloat16(values[offset]!);
  });
}

/** Constant inputs of a MatMulNBits node (com.microsoft), and its attributes. */
export interface BlockQuantization {
  /** `[N, blocks, blockSize·bits/8]`, elements packed lowest bits first. */
  readonly packed: StoredTensor;
  /** `[N, blocks]`, or flat. */
  readonly scales: StoredTensor;
  /** Packed as the elements are, each row padded to whole bytes; or of the scales' type, one for each block. */
  readonly zeroPoints: StoredTensor | undefined;
  readonly bits: number;
  readonly blockSize: number;
  readonly outFeatures: number;
  readonly inFeatures: number;
}

/** W `[out, in]` of a MatMulNBits node: `(element − zeroPoint) · scale` in float32. As {@link dequantizeLinear}. */
export function dequantizeBlocks(parts: BlockQuantization): FloatTensor | string {
  const { packed, scales, zeroPoints, bits, blockSize, outFeatures, inFeatures } = parts;
  const scaleType = floatType(scales.dataType);
  if (![2, 4, 8].includes(bits)) return `${bits} bits an element are not known`;
  if (!(blockSize >= 16) || blockSize % 8 !== 0) return `blocks of ${blockSize} elements are not known`;
  if (packed.dataType !== DataType.UINT8)
    return `the weights are ${typeName(packed.dataType)}, where uint8 is expected`;
  if (scaleType === undefined) return `scales of type ${typeName(scales.dataType)} are not known`;
  const blocks = Math.ceil(inFeatures / blockSize);
  const rowBytes = (blocks * blockSize * bits) / 8;
  if (packed.byteLength !== outFeatures * rowBytes) {
    return `the weights have ${packed.byteLength} bytes, [${outFeatures}, ${inFeatures}] in blocks of ${blockSize} takes ${outFeatures * rowBytes}`;
  }
  if (product(scales.dims) !== outFeatures * blocks)
    return `there are ${product(scales.dims)} scales for ${outFeatures * blocks} blocks`;
  const zeroRowBytes = Math.ceil((blocks * bits) / 8);
  const floatZeros = zeroPoints === undefined ? undefined : floatType(zeroPoints.dataType);
  if (zeroPoints !== undefined) {
    const length = floatZeros === undefined ? zeroPoints.byteLength : product(zeroPoints.dims);
    const wanted = outFeatures * (floatZeros === undefined ? zeroRowBytes : blocks);
    if (length !== wanted)
      return `the zero points have ${length} ${floatZeros === undefined ? 'bytes' : 'elements'}, not ${wanted}`;
  }
  const middle = 2 ** (bits - 1);
  const parameters = once(async () => ({
    scales: toFloat32(await scales.read(), scaleType),
    zeros: await zeros(),
  }));
  const zeros = async (): Promise<ArrayLike<number> | undefined> => {
    if (zeroPoints === undefined) return undefined;
    const bytes = await zeroPoints.read();
    if (floatZeros !== undefined) return toFloat32(bytes, floatZeros);
    const perByte = 8 / bits;
    return Float32Array.from({ length: outFeatures * blocks }, (_, index) =>
      unpack(bytes, Math.floor(index / blocks) * zeroRowBytes * perByte + (index % blocks), bits),
    );
  };
  return lazily(packed, outFeatures * inFeatures, [outFeatures, inFeatures], async (first, count, values) => {
    const { scales: scale, zeros: zero } = await parameters();
    const firstRow = Math.floor(first / inFeatures);
    const lastRow = Math.floor((first + count - 1) / inFeatures);
    const bytes = await packed.read(firstRow * rowBytes, (lastRow + 1) * rowBytes);
    const perByte = 8 / bits;
    for (let offset = 0; offset < count; offset++) {
      const row = Math.floor((first + offset) / inFeatures);
      const column = (first + offset) % inFeatures;
      const block = row * blocks + Math.floor(column / blockSize);
      const element = unpack(bytes, (row - firstRow) * rowBytes * perByte + column, bits);
      values[offset] = (element - (zero?.[block] ?? middle)) * scale[block]!;
    }
  });
}

/** A float32 tensor whose elements are computed when they are read. */
function lazily(
  { name }: StoredTensor,
  elements: number,
  dims: readonly number[],
  compute: (first: number, count: number, values: Float32Array) => Promise<void>,
): FloatTensor {
  const byteLength = 4 * elements;
  return {
    name,
    dataType: DataType.FLOAT,
    type: 'float32',
    dims,
    byteLength,
    read: async (start = 0, end = byteLength) => {
      const first = Math.floor(start / 4);
      const values = new Float32Array(Math.ceil(end / 4) - first);
      if (values.length > 0) await compute(first, values.length, values);
      return new Uint8Array(values.buffer).subarray(start - 4 * first, end - 4 * first);
    },
  };
}

/** The bytes that hold some elements, and how many elements there are in them before the first. */
async function readElements(tensor: StoredTensor, first: number, count: number) {
  const { bits } = elementTypeOf(tensor.dataType);
  const start = Math.floor((first * bits) / 8);
  const bytes = await tensor.read(start, Math.ceil(((first + count) * bits) / 8));
  return { bytes, skipped: first - (start * 8) / bits };
}

/** Elements `[skipped, skipped + count)` as numbers. */
type Decoder = (bytes: Uint8Array, skipped: number, count: number) => ArrayLike<number>;

const WHOLE: ReadonlySet<ElementTypeName> = new Set<ElementTypeName>(['int8', 'uint8', 'int16', 'uint16', 'int32']);

function decoder(dataType: number): Decoder | undefined {
  const float8 = float8Values(dataType);
  if (float8 !== undefined) {
    return (bytes, skipped, count) =>
      Float32Array.from(bytes.subarray(skipped, skipped + count), (bits) => float8[bits]!);
  }
  const type = elementTypeOf(dataType);
  if (WHOLE.has(type.name)) {
    return (bytes, skipped, count) => asElements(bytes, type).subarray(skipped, skipped + count) as ArrayLike<number>;
  }
  if (type.name !== 'int4' && type.name !== 'uint4') return undefined;
  const signed = type.name === 'int4';
  return (bytes, skipped, count) =>
    Float32Array.from({ length: count }, (_, index) => {
      const nibble = unpack(bytes, skipped + index, 4);
      return signed && nibble > 7 ? nibble - 16 : nibble;
    });
}

/** The element of that index among elements of 2, 4 or 8 bits, packed lowest bits first. */
function unpack(bytes: Uint8Array, index: number, bits: number): number {
  const perByte = 8 / bits;
  return (bytes[Math.floor(index / perByte)]! >> ((index % perByte) * bits)) & ((1 << bits) - 1);
}

function scaleDims({ quantized, scale, axis, blockSize }: LinearQuantization): readonly number[] | undefined {
  const { dims } = quantized;
  if (blockSize === 0 && product(scale.dims) === 1) return [];
  const along = dims[axis];
  if (along === undefined) return undefined;
  return blockSize === 0 ? [along] : dims.map((dim, index) => (index === axis ? Math.ceil(dim / blockSize) : dim));
}

const product = (dims: readonly number[]): number => dims.reduce((total, dim) => total * dim, 1);
const sameCount = (left: readonly number[], right: readonly number[]): boolean => product(left) === product(right);
const typeName = (dataType: number): string => elementTypeOf(dataType).name;

/** Computes a value at the first call and keeps it. */
function once<T>(compute: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | undefined;
  return () => {
    value ??= compute();
    return value;
  };
}
