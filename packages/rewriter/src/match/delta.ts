import type { NodeProto } from '@ort-dora/onnx';
import { type Eye, matchEye } from './eye.js';
import { matchProduct } from './product.js';
import { deeper, type MatchResult, matched, mismatch } from './result.js';
import type { MatchScope } from './scope.js';
import { isStandard, type MatrixTrace, traceMatrix, transposedTrace, uncast } from './trace.js';

/** D = B·A `[out, in]` on the norm's path. */
export type Delta =
  /** The product of two factors, with or without an identity matrix in front (PEFT's way to dense B·A since 0.12). */
  | {
      readonly kind: 'factors';
      readonly eye: Eye | undefined;
      /** `[r, in]`. */
      readonly loraA: MatrixTrace;
      /** `[out, r]`. */
      readonly loraB: MatrixTrace;
      readonly nodes: readonly NodeProto[];
    }
  /** Folded by the exporter: proved by multiplying B and A. */
  | { readonly kind: 'constant'; readonly matrix: MatrixTrace };

/** Matches a D that the exporter has folded. */
export function matchFoldedDelta(scope: MatchScope, value: string): MatchResult<Delta> {
  const { source, transposed } = unwrap(scope, value);
  if (scope.constant(source) === undefined) return mismatch(`"${source}" is not a constant`, scope.producer(source));
  const matrix = { value: source, transposed, source, sourceTransposed: transposed };
  return matched({ kind: 'constant', matrix });
}

/** Matches D as computed in the graph: transposes and casts around a product of the factors. */
export function matchDelta(scope: MatchScope, value: string): MatchResult<Delta> {
  const { source, transposed } = unwrap(scope, value);
  const product = matchProduct(scope, source);
  if (!product.matched) return product;
  const { node, left, leftTransposed, right, addend } = product.value;
  if (addend !== undefined) return mismatch('the dense B·A adds a bias', node, 1);
  if (leftTransposed) return mismatch('the Gemm of the dense B·A transposes its first factor', node, 1);

  const inner = matchProduct(scope, left);
  if (!inner.matched) {
    // Only what is no product at all can be a factor itself.
    if (inner.culprit !== undefined && isStandard(inner.culprit, 'Gemm')) return deeper(inner, 2);
    const first = traceMatrix(scope, left);
    return matched(factors(undefined, first, right, transposed, [node]));
  }
  if (inner.value.addend !== undefined) return mismatch('the dense A adds a bias', inner.value.node, 1);
  if (inner.value.leftTransposed) return mismatch('the identity matrix is transposed', inner.value.node, 1);
  const eye = matchEye(scope, inner.value.left);
  if (!eye.matched) return deeper(eye, 1);
  return matched(factors(eye.value, inner.value.right, right, transposed, [inner.value.node, node]));
}

/** `first·second` is B·A, or its transpose Aᵀ·Bᵀ. */
function factors(
  eye: Eye | undefined,
  first: MatrixTrace,
  second: MatrixTrace,
  transposed: boolean,
  nodes: readonly NodeProto[],
): Delta {
  return transposed
    ? { kind: 'factors', eye, loraA: transposedTrace(first), loraB: transposedTrace(second), nodes }
    : { kind: 'factors', eye, loraA: second, loraB: first, nodes };
}

/** D's value behind its transposes and casts; unlike a weight it is computed, so a cast only rounds it. */
function unwrap(scope: MatchScope, value: string): { readonly source: string; readonly transposed: boolean } {
  let source = uncast(scope, value);
  let transposed = false;
  for (let step = 0; step < 8; step++) {
    const trace = traceMatrix(scope, source);
    const next = uncast(scope, trace.source);
    if (trace.sourceTransposed) transposed = !transposed;
    if (next === source) break;
    source = next;
  }
  return { source, transposed };
}
