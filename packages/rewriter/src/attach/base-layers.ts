/** The layers of a base export that an adapter can go onto: products, lookups and convolutions over a stored weight. */

import { intAttribute, type NodeProto, type Scope } from '@ort-dora/onnx';
import type { FloatType } from '../functions/form.js';
import { matchLinearProduct } from '../match/product.js';
import { type MatchResult, matched, mismatch } from '../match/result.js';
import type { MatchScope } from '../match/scope.js';
import { isStandard, type MatrixTrace, traceMatrix, unwiden } from '../match/trace.js';
import {
  type ConstantData,
  matchBlockProduct,
  matchDequantizedWeight,
  matchIntegerProduct,
  type QuantizedWeight,
} from '../quantized/weights.js';
import { floatType } from '../tensors/elements.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';
import { type LayerNames, layerNames } from './layer-names.js';

export type LayerKind = 'linear' | 'embedding' | 'conv';

/** One layer, at one place of one graph. */
export interface BaseLayer extends LayerNames {
  readonly kind: LayerKind;
  readonly scope: Scope;
  readonly facts: MatchScope;
  /** The product, lookup or convolution. */
  readonly node: NodeProto;
  /** What the layer reads: activations, or the ids of a lookup. */
  readonly x: string;
  /** The node's result, with the bias where that is one of its inputs. */
  readonly product: string;
  readonly bias: LayerBias | undefined;
  readonly weight: LayerWeight;
  /** As PyTorch has the weight: Linear `[out, in]`, Embedding `[words, width]`, Conv `[out, in/groups, …]`. */
  readonly weightShape: readonly number[];
}

export interface LayerBias {
  readonly value: string;
  /** The addition behind the product; undefined: the bias is an input of the product's node. */
  readonly addition: NodeProto | undefined;
}

export interface LayerWeight {
  /** What a node reads as the weight, in the layer's own type; undefined where only a quantized product can read it. */
  readonly value: string | undefined;
  /** 1: `value` is stored transposed against {@link BaseLayer.weightShape}. */
  readonly transposed: 0 | 1;
  /** The stored or dequantized numbers. */
  readonly numbers: FloatTensor;
  /** 1: the numbers are transposed against {@link BaseLayer.weightShape}. */
  readonly numbersTransposed: 0 | 1;
  /** The operator that dequantizes; undefined for weights that are floating point in the file. */
  readonly quantizedBy: 'MatMulNBits' | 'MatMulInteger' | 'DequantizeLinear' | undefined;
  /** Element type in which the layer has it: the values that it is dequantized to, where it is quantized. */
  readonly type: FloatType;
  /** Name of the constant with the elements. */
  readonly source: string;
}

/** The layers of one graph, in order. A node that is no layer over a stored weight is passed over. */
export function baseLayers(scope: Scope, facts: MatchScope, constant: ConstantData): readonly BaseLayer[] {
  const layers: BaseLayer[] = [];
  for (const node of scope.nodes) {
    const found = matchLayer(facts, node, constant);
    if (!found.matched) continue;
    const { bias: inside, named, ...layer } = found.value;
    const { kind, product, weight, weightShape } = layer;
    const bias =
      inside !== undefined
        ? { value: inside, addition: undefined }
        : kind === 'linear'
          ? addedBias(scope, facts, product, weightShape[0]!)
          : undefined;
    layers.push({ ...layer, scope, facts, node, bias, ...layerNames(scope, [node, ...(named ?? [])], weight, bias) });
  }
  return layers;
}

interface MatchedLayer {
  readonly kind: LayerKind;
  readonly x: string;
  readonly product: string;
  readonly bias: string | undefined;
  readonly weight: LayerWeight;
  readonly weightShape: readonly number[];
  /** Nodes before the layer's last one that may carry its name. */
  readonly named?: readonly NodeProto[];
}

function matchLayer(facts: MatchScope, node: NodeProto, constant: ConstantData): MatchResult<MatchedLayer> {
  if (node.opType === 'MatMulNBits') return matchNBits(node, constant);
  if (!isStandard(node)) return mismatch('not a standard operator', node);
  switch (node.opType) {
    case 'MatMul':
    case 'Gemm':
      return matchLinear(facts, node, constant);
    case 'Gather':
      return matchEmbedding(facts, node, constant);
    case 'Mul':
      return matchInteger(facts, node, constant);
    case 'Conv':
      return matchConv(facts, node, constant);
    default:
      return mismatch('not an operator with a weight', node);
  }
}

function matchNBits(node: NodeProto, constant: ConstantData): MatchResult<MatchedLayer> {
  const found = matchBlockProduct(node, constant);
  if (!found.matched) return found;
  const { x, output, bias, weight } = found.value;
  return matched({ kind: 'linear', x, product: output, bias, ...insideProduct(weight, 'MatMulNBits', 0) });
}

function matchInteger(facts: MatchScope, node: NodeProto, constant: ConstantData): MatchResult<MatchedLayer> {
  const found = matchIntegerProduct(facts, node, constant);
  if (!found.matched) return found;
  const { x, output, weight, node: product } = found.value;
  if (weight.numbers.dims.length !== 2) return mismatch('its weight is no matrix', product);
  const parts = insideProduct(weight, 'MatMulInteger', 1);
  return matched({ kind: 'linear', x, product: output, bias: undefined, named: [product], ...parts });
}

/** A weight that only the quantized product itself can read. */
function insideProduct(
  { value, numbers, type }: QuantizedWeight,
  quantizedBy: 'MatMulNBits' | 'MatMulInteger',
  transposed: 0 | 1,
): Pick<MatchedLayer, 'weight' | 'weightShape'> {
  return {
    weight: { value: undefined, transposed, numbers, numbersTransposed: transposed, quantizedBy, type, source: value },
    weightShape: transposed === 1 ? numbers.dims.toReversed() : numbers.dims,
  };
}

function matchLinear(facts: MatchScope, node: NodeProto, constant: ConstantData): MatchResult<MatchedLayer> {
  const output = node.output[0] ?? '';
  const found = matchLinearProduct(facts, output);
  if (!found.matched) return found;
  const { x, addend, weight: trace } = found.value;
  const weight = storedMatrix(facts, trace, constant);
  if (!weight.matched) return weight;
  if (addend !== undefined) {
    const shape = facts.shape(addend);
    if (shape?.length !== 1 || shape[0] !== weight.value.weightShape[0]) {
      return mismatch(`"${addend}" is added, which does not have one element per output`, node);
    }
  }
  return matched({ kind: 'linear', x, product: output, bias: addend, ...weight.value });
}

/** A lookup in a table `[words, width]` by rows. */
function matchEmbedding(facts: MatchScope, node: NodeProto, constant: ConstantData): MatchResult<MatchedLayer> {
  if ((intAttribute(node, 'axis') ?? 0) !== 0) return mismatch('it does not look up rows', node);
  const [table = '', ids = ''] = node.input;
  const weight = storedMatrix(facts, traceMatrix(facts, table), constant);
  if (!weight.matched) return weight;
  return matched({ kind: 'embedding', x: ids, product: node.output[0] ?? '', bias: undefined, ...weight.value });
}

function matchConv(facts: MatchScope, node: NodeProto, constant: ConstantData): MatchResult<MatchedLayer> {
  const [x = '', w = '', bias = ''] = node.input;
  const trace = { value: w, transposed: false, source: unwiden(facts, w), sourceTransposed: false };
  const weight = storedWeight(facts, trace, constant);
  if (!weight.matched) return weight;
  return matched({
    kind: 'conv',
    x,
    product: node.output[0] ?? '',
    bias: bias === '' ? undefined : bias,
    weight: weight.value,
    weightShape: weight.value.numbers.dims,
  });
}

function storedMatrix(
  facts: MatchScope,
  trace: MatrixTrace,
  constant: ConstantData,
): MatchResult<Pick<MatchedLayer, 'weight' | 'weightShape'>> {
  const weight = storedWeight(facts, trace, constant);
  if (!weight.matched) return weight;
  const { dims } = weight.value.numbers;
  if (dims.length !== 2) return mismatch(`"${trace.source}" is no matrix`);
  return matched({
    weight: weight.value,
    weightShape: weight.value.numbersTransposed === 1 ? dims.toReversed() : dims,
  });
}

/** A weight that is stored as floating point, or dequantized from what is stored. */
export function storedWeight(facts: MatchScope, trace: MatrixTrace, constant: ConstantData): MatchResult<LayerWeight> {
  const { value, source } = trace;
  const transposed = trace.transposed ? 1 : 0;
  const sourceTransposed = trace.sourceTransposed ? 1 : 0;
  const stored = constant(source);
  if (stored === undefined) {
    const found = matchDequantizedWeight(facts, source, constant);
    if (!found.matched) return found;
    const { numbers, type } = found.value;
    return matched({
      value,
      transposed,
      numbers,
      numbersTransposed: sourceTransposed,
      quantizedBy: 'DequantizeLinear',
      type,
      source: found.value.value,
    });
  }
  const type = floatType(stored.dataType);
  if (type === undefined) return mismatch(`"${source}" is not of a float type that the operators know`);
  const numbers: FloatTensor = {
    name: stored.name,
    dataType: stored.dataType,
    dims: stored.dims,
    byteLength: stored.byteLength,
    type,
    read: (start, end, into) => stored.read(start, end, into),
  };
  return matched({
    value,
    transposed,
    numbers,
    numbersTransposed: sourceTransposed,
    quantizedBy: undefined,
    type: floatType(facts.elementType(value)) ?? type,
    source,
  });
}

/**
 * A vector of one element per output that is added to the product, where nothing else reads the product. Whether the
 * module itself adds it does not matter: g is applied to what is before the addition either way.
 */
function addedBias(scope: Scope, facts: MatchScope, product: string, outFeatures: number): LayerBias | undefined {
  const uses = scope.uses(product);
  const [use] = uses;
  if (uses.length !== 1 || use?.kind !== 'node' || use.scope !== scope || !isStandard(use.node, 'Add'))
    return undefined;
  const value = use.node.input[1 - use.index] ?? '';
  const shape = facts.shape(value);
  const isVector =
    shape?.length === 1 && shape[0] === outFeatures && facts.constant(unwiden(facts, value)) !== undefined;
  return isVector ? { value, addition: use.node } : undefined;
}
