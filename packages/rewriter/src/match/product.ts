import { floatAttribute, intAttribute, type NodeProto } from '@ort-dora/onnx';
import { type MatchResult, matched, mismatch } from './result.js';
import type { MatchScope } from './scope.js';
import { isStandard, type MatrixTrace, plain, traceMatrix, transposedTrace } from './trace.js';

/** `left · right (+ addend)`: a MatMul or a Gemm. */
export interface Product {
  readonly node: NodeProto;
  /** The value of the product, with the addend where there is one. */
  readonly output: string;
  readonly left: string;
  readonly leftTransposed: boolean;
  /** The right factor, `[in, out]`. */
  readonly right: MatrixTrace;
  /** Third input of a Gemm. */
  readonly addend: string | undefined;
}

/** Matches a matrix product with factor 1. */
export function matchProduct(scope: MatchScope, value: string): MatchResult<Product> {
  const output = plain(scope, value);
  const node = scope.producer(output);
  if (node === undefined) return mismatch(`${describeValue(output)} is not computed by a matrix product`);
  const [left = '', right = '', addend = ''] = node.input;
  if (isStandard(node, 'MatMul')) {
    return matched({
      node,
      output,
      left,
      leftTransposed: false,
      right: traceMatrix(scope, right),
      addend: undefined,
    });
  }
  if (!isStandard(node, 'Gemm')) return mismatch(`expected a MatMul or Gemm, found ${node.opType}`, node);
  for (const factor of addend === '' ? ['alpha'] : ['alpha', 'beta']) {
    if (floatAttribute(node, factor, 1) !== 1) {
      return mismatch(`the Gemm's ${factor} is not 1`, node);
    }
  }
  const trace = traceMatrix(scope, right);
  return matched({
    node,
    output,
    left,
    leftTransposed: (intAttribute(node, 'transA') ?? 0) !== 0,
    right: (intAttribute(node, 'transB') ?? 0) !== 0 ? transposedTrace(trace) : trace,
    addend: addend === '' ? undefined : addend,
  });
}

/** `x · Mᵀ` with a weight M `[out, in]`, as a linear layer without its bias computes it. */
export interface LinearProduct {
  readonly node: NodeProto;
  readonly output: string;
  readonly x: string;
  /** M `[out, in]`: `transposed` says that it is stored `[in, out]`. */
  readonly weight: MatrixTrace;
  readonly addend: string | undefined;
}

/** Matches `x · Mᵀ`, with the addend of a Gemm where there is one. */
export function matchLinearProduct(scope: MatchScope, value: string): MatchResult<LinearProduct> {
  const product = matchProduct(scope, value);
  if (!product.matched) return product;
  const { node, output, left, leftTransposed, right, addend } = product.value;
  if (leftTransposed) return mismatch('the Gemm transposes its first factor', node);
  return matched({ node, output, x: left, weight: transposedTrace(right), addend });
}

/** A value's name for messages. */
export function describeValue(value: string): string {
  return value === '' ? 'a missing input' : `"${value}"`;
}
