/** Quantized weights in a graph: what a layer's weight is where it is no plain constant. */

import { intAttribute, type NodeProto } from '@ort-dora/onnx';
import type { FloatType } from '../functions/form.js';
import { eitherOrder, type MatchResult, matched, mismatch } from '../match/result.js';
import type { MatchScope } from '../match/scope.js';
import { isStandard } from '../match/trace.js';
import { floatType } from '../tensors/elements.js';
import type { FloatTensor, StoredTensor } from '../tensors/stored-tensor.js';
import { dequantizeBlocks, dequantizeLinear } from './dequantized.js';

/** The data of a constant value; undefined for everything else. */
export type ConstantData = (value: string) => StoredTensor | undefined;

/** A weight as a node dequantizes it. */
export interface QuantizedWeight {
  /** The constant that holds the quantized elements. */
  readonly value: string;
  /** The numbers, in the shape that the node gives them. */
  readonly numbers: FloatTensor;
  /** The type that the layer computes in: the scales'. */
  readonly type: FloatType;
}

/** Matches a weight that a DequantizeLinear node (ONNX, or ONNX Runtime's own) computes from constants. */
export function matchDequantizedWeight(
  scope: MatchScope,
  value: string,
  constant: ConstantData,
): MatchResult<QuantizedWeight> {
  const node = scope.producer(value);
  if (node === undefined || node.opType !== 'DequantizeLinear' || !(isStandard(node) || isMicrosoft(node))) {
    return mismatch(`"${value}" is no constant, and not dequantized from one`, node);
  }
  const [quantizedName = '', scaleName = '', zeroName = ''] = node.input;
  const quantized = constant(quantizedName);
  const scale = constant(scaleName);
  const zeroPoint = zeroName === '' ? undefined : constant(zeroName);
  if (quantized === undefined || scale === undefined || (zeroName !== '' && zeroPoint === undefined)) {
    return mismatch(`"${value}" is dequantized from what is no constant`, node);
  }
  const axis = intAttribute(node, 'axis') ?? 1;
  const numbers = dequantizeLinear({
    quantized,
    scale,
    zeroPoint,
    axis: axis < 0 ? axis + quantized.dims.length : axis,
    blockSize: intAttribute(node, 'block_size') ?? 0,
  });
  if (typeof numbers === 'string') return mismatch(numbers, node);
  return matched({ value: quantizedName, numbers, type: floatType(scale.dataType)! });
}

/** A product with a weight in blocks, `x · Wᵀ (+ bias)`. */
export interface BlockProduct {
  readonly node: NodeProto;
  readonly x: string;
  readonly output: string;
  /** W `[out, in]`. */
  readonly weight: QuantizedWeight;
  readonly bias: string | undefined;
}

/** Matches MatMulNBits (com.microsoft), the 4- and 8-bit product of ONNX Runtime's quantizer, Olive and genai. */
export function matchBlockProduct(node: NodeProto, constant: ConstantData): MatchResult<BlockProduct> {
  if (node.opType !== 'MatMulNBits' || !isMicrosoft(node)) return mismatch('expected a MatMulNBits', node);
  const [x = '', packedName = '', scalesName = '', zerosName = '', groupName = '', bias = ''] = node.input;
  if (groupName !== '') return mismatch('its groups are not in the order of the inputs (g_idx)', node);
  const packed = constant(packedName);
  const scales = constant(scalesName);
  const zeroPoints = zerosName === '' ? undefined : constant(zerosName);
  if (packed === undefined || scales === undefined || (zerosName !== '' && zeroPoints === undefined)) {
    return mismatch('its weight is no constant', node);
  }
  const numbers = dequantizeBlocks({
    packed,
    scales,
    zeroPoints,
    bits: intAttribute(node, 'bits') ?? 4,
    blockSize: intAttribute(node, 'block_size') ?? 0,
    outFeatures: intAttribute(node, 'N') ?? 0,
    inFeatures: intAttribute(node, 'K') ?? 0,
  });
  if (typeof numbers === 'string') return mismatch(numbers, node);
  return matched({
    node,
    x,
    output: node.output[0] ?? '',
    weight: { value: packedName, numbers, type: floatType(scales.dataType)! },
    bias: bias === '' ? undefined : bias,
  });
}

/** A product of 8-bit integers over activations that are quantized as they come. */
export interface IntegerProduct extends Omit<BlockProduct, 'bias'> {
  /** W `[in, out]`. */
  readonly weight: QuantizedWeight;
}

/**
 * Matches what ONNX Runtime's `quantize_dynamic` makes of a MatMul (transformers.js' `_quantized` files): DynamicQuantizeLinear
 * of x, MatMulInteger, a Cast, and a Mul by both scales, which is `root`.
 */
export function matchIntegerProduct(
  scope: MatchScope,
  root: NodeProto,
  constant: ConstantData,
): MatchResult<IntegerProduct> {
  if (!isStandard(root, 'Mul')) return mismatch('expected a Mul', root);
  return eitherOrder(root, (castValue, scalesValue) => {
    const cast = scope.producer(castValue);
    const product = scope.producer(cast?.input[0] ?? '');
    if (
      cast === undefined ||
      !isStandard(cast, 'Cast') ||
      product === undefined ||
      !isStandard(product, 'MatMulInteger')
    ) {
      return mismatch('expected the Cast of a MatMulInteger', root);
    }
    const [xQuantized = '', weightName = '', xZero = '', weightZero = ''] = product.input;
    const dynamic = scope.producer(xQuantized);
    if (dynamic === undefined || !isStandard(dynamic, 'DynamicQuantizeLinear') || dynamic.output[2] !== xZero) {
      return mismatch('its activations are not quantized by DynamicQuantizeLinear', product);
    }
    const scales = scope.producer(scalesValue);
    if (scales === undefined || !isStandard(scales, 'Mul'))
      return mismatch('expected the product of both scales', root);
    const scaleName = scales.input.find((input) => input !== dynamic.output[1]) ?? '';
    if (!scales.input.includes(dynamic.output[1] ?? '')) return mismatch("expected the activations' scale", scales);
    const quantized = constant(weightName);
    const scale = constant(scaleName);
    const zeroPoint = weightZero === '' ? undefined : constant(weightZero);
    if (quantized === undefined || scale === undefined || (weightZero !== '' && zeroPoint === undefined)) {
      return mismatch('its weight is no constant', product);
    }
    const numbers = dequantizeLinear({ quantized, scale, zeroPoint, axis: 1, blockSize: 0 });
    if (typeof numbers === 'string') return mismatch(numbers, product);
    const [x = ''] = dynamic.input;
    return matched({
      node: product,
      x,
      output: root.output[0] ?? '',
      weight: { value: weightName, numbers, type: floatType(scale.dataType)! },
    });
  });
}

function isMicrosoft({ domain }: NodeProto): boolean {
  return domain === 'com.microsoft';
}
