import type { NodeProto } from '@ort-dora/onnx';
import { type LinearProduct, matchLinearProduct } from './product.js';
import { eitherOrder, type MatchResult, matched, mismatch } from './result.js';
import type { MatchScope } from './scope.js';
import { isStandard, type MatrixTrace, plain, unwiden } from './trace.js';

/** A linear layer `x·Wᵀ + bias`. */
export interface LinearLayer {
  /** The layer's result, with its bias. */
  readonly output: string;
  readonly x: string;
  readonly weight: MatrixTrace;
  readonly bias: string | undefined;
  /** How the exporter wrote it. */
  readonly form: LayerForm;
  readonly nodes: readonly NodeProto[];
}

/** Ways to write a layer: linear, over flattened axes (transformers' Conv1D), an embedding, a convolution. */
export type LayerForm =
  | ('MatMul' | 'MatMul+Add' | 'Gemm' | 'Gemm+bias')
  | ('Reshape+Gemm' | 'Reshape+Gemm+bias')
  | ('Gather' | 'Gather+Mul')
  | ('Conv' | 'Conv+bias');

/** Matches a linear layer: MatMul or Gemm, with the bias in the Gemm, in an Add on either side, or without. */
export function matchLinearLayer(scope: MatchScope, value: string): MatchResult<LinearLayer> {
  const output = plain(scope, value);
  const node = scope.producer(output);
  if (node === undefined) return mismatch(`"${output}" is not the result of a linear layer`);
  if (!isStandard(node, 'Add')) {
    const product = matchLinearProduct(scope, output);
    return product.matched ? matched(layer(output, product.value, product.value.addend, [])) : product;
  }
  return eitherOrder(node, (left, right) => {
    const product = matchLinearProduct(scope, left);
    if (!product.matched) return product;
    if (product.value.addend !== undefined) return mismatch('a Gemm with a bias has another one added', node);
    if (scope.shape(right)?.length !== 1) return mismatch(`"${right}" is added, which is not a vector`, node);
    return matched(layer(output, product.value, right, [node]));
  });
}

/** Matches two linear products in a row, `(x·Aᵀ)·Bᵀ`, without biases. */
export function matchLowRank(scope: MatchScope, value: string): MatchResult<LowRankPath> {
  const up = matchLinearProduct(scope, value);
  if (!up.matched) return up;
  const down = matchLinearProduct(scope, up.value.x);
  if (!down.matched) return { ...down, depth: down.depth + 1 };
  for (const { addend, node } of [up.value, down.value]) {
    if (addend !== undefined) return mismatch('the adapter path adds a bias', node, 1);
  }
  return matched({
    output: up.value.output,
    x: down.value.x,
    loraA: down.value.weight,
    loraB: up.value.weight,
    nodes: [down.value.node, up.value.node],
  });
}

/** The adapter's path over the activations. */
export interface LowRankPath {
  readonly output: string;
  readonly x: string;
  /** A `[r, in]`. */
  readonly loraA: MatrixTrace;
  /** B `[out, r]`. */
  readonly loraB: MatrixTrace;
  readonly nodes: readonly NodeProto[];
}

/**
 * The base term's quantity u, which must be the base without its bias. What is left to prove about constants is
 * returned as data.
 */
export type BaseTerm =
  /** The layer's result, which has no bias. */
  | { readonly kind: 'product' }
  /** The layer's result less this vector, which must equal its bias (or be zero where it has none). */
  | { readonly kind: 'difference'; readonly subtrahend: string; readonly node: NodeProto }
  /** A product, the layer's own or another, whose x and weight must be the layer's (PEFT before 0.14). */
  | { readonly kind: 'recomputed'; readonly product: LinearProduct };

/** Matches u against a base result `output`. */
export function matchBaseTerm(
  scope: MatchScope,
  value: string,
  base: { readonly output: string; readonly hasBias: boolean },
  uncast: (value: string) => string,
): MatchResult<BaseTerm> {
  const term = uncast(value);
  const baseOutput = uncast(base.output);
  const node = scope.producer(term);
  if (term === baseOutput) {
    return base.hasBias ? mismatch('the base term still holds the bias', node) : matched({ kind: 'product' });
  }
  if (node !== undefined && isStandard(node, 'Sub')) {
    const [minuend = '', subtrahend = ''] = node.input;
    if (uncast(minuend) === baseOutput) return matched({ kind: 'difference', subtrahend, node });
    return mismatch('the base term does not subtract the bias from the base layer', node);
  }
  const product = matchLinearProduct(scope, term);
  if (!product.matched) return product;
  if (product.value.addend !== undefined) return mismatch('the recomputed base term adds a bias', node);
  return matched({ kind: 'recomputed', product: product.value });
}

/** Where a vector comes from: through Identity and casts that lose nothing. */
export function traceVector(scope: MatchScope, value: string): { readonly value: string; readonly source: string } {
  return { value: plain(scope, value), source: unwiden(scope, value) };
}

function layer(output: string, product: LinearProduct, bias: string | undefined, more: NodeProto[]): LinearLayer {
  const gemm = isStandard(product.node, 'Gemm');
  const inGemm = product.addend !== undefined;
  return {
    output,
    x: product.x,
    weight: product.weight,
    bias,
    form: gemm ? (inGemm ? 'Gemm+bias' : 'Gemm') : bias === undefined ? 'MatMul' : 'MatMul+Add',
    nodes: [product.node, ...more],
  };
}
