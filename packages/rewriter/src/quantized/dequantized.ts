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
  const blockOf = (element: number): number => {
    const index = Math.floor(element / inner) % along;
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
    if (blockSize > 0) {
      for (let offset = 0; offset < count; offset++) {
        const at = blockOf(first + offset);
        values[offset] = (elements[offset]! - (zeros?.[at] ?? 0)) * scales[at]!;
      }
    } else {
      let at = perTensor ? 0 : Math.floor(first / inner) % along;
      let left = perTensor ? count : inner - (first % inner);
      for (let offset = 0; offset < count; offset++) {
        values[offset] = (elements[offset]! - (zeros === undefined ? 0 : zeros[at]!)) * scales[at]!;
        if (--left > 0) continue;
        left = inner;
        at = at + 1 === scales.length ? 0 : at + 1;
      }
    }
    if (scaleType === 'float16') {
      for (let offset = 0; offset < count; offset++) values[offset] = roundToFloat16(values[offset]!);
    }
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
    const mask = 2 ** bits - 1;
    for (let offset = 0; offset < count; ) {
      const row = Math.floor((first + offset) / inFeatures);
      const start = (first + offset) % inFeatures;
      const block = Math.floor(start / blockSize);
      const factor = scale[row * blocks + block]!;
      const zeroPoint = zero?.[row * blocks + block] ?? middle;
      const rowStart = (row - firstRow) * rowBytes;
      const end = Math.min((block + 1) * blockSize, inFeatures, start + count - offset);
      for (let column = start; column < end; column++, offset++) {
        const bit = column * bits;
        const element = (bytes[rowStart + (bit >> 3)]! >> (bit & 7)) & mask;
        values[offset] = (element - zeroPoint) * factor;
      }
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
    return (bytes, skipped, count) => {
      const values = new Float32Array(count);
      for (let index = 0; index < count; index++) values[index] = float8[bytes[skipped + index]!]!;
      return values;
    };
  }
  const type = elementTypeOf(dataType);
  if (WHOLE.has(type.name)) {
    return (bytes, skipped, count) => asElements(bytes, type).subarray(skipped, skipped + count) as ArrayLike<number>;
  }
  if (type.name !== 'int4' && type.name !== 'uint4') return undefined;
  const signed = type.name === 'int4';
  return (bytes, skipped, count) => {
    const values = new Int8Array(count);
    for (let index = 0; index < count; index++) {
      const nibble = unpack(bytes, skipped + index, 4);
      values[index] = signed && nibble > 7 ? nibble - 16 : nibble;
    }
    return values;
  };
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
