import { intAttribute, type NodeProto } from '@ort-dora/onnx';
import type { LinearLayer, LowRankPath } from './linear-layer.js';
import { matchLinearProduct } from './product.js';
import { eitherOrder, type MatchResult, matched, mismatch } from './result.js';
import { constantScalar } from './scalar.js';
import type { MatchScope } from './scope.js';
import { isStandard, type MatrixTrace, plain, traceMatrix, transposedTrace } from './trace.js';

/** An embedding as a layer of `vocab` inputs and `dim` outputs: its weight is stored `[vocab, dim]`. */
export interface EmbeddingLayer extends LinearLayer {
  /** The number that the looked-up rows are multiplied by (Gemma's `embed_scale`); else 1. */
  readonly scale: number;
}

/** Matches `Gather(W, ids)`, multiplied by a number or not. */
export function matchEmbeddingLayer(scope: MatchScope, value: string): MatchResult<EmbeddingLayer> {
  const output = plain(scope, value);
  const node = scope.producer(output);
  if (node === undefined || !isStandard(node, 'Mul')) {
    const rows = matchLookup(scope, output);
    return rows.matched ? matched(embedding(output, rows.value, 1, [])) : rows;
  }
  return eitherOrder(node, (looked, factor) => {
    const scale = constantScalar(scope, factor);
    if (scale === undefined) return mismatch('an embedding is multiplied by something else than a number', node);
    const rows = matchLookup(scope, looked);
    return rows.matched ? matched(embedding(output, rows.value, scale, [node])) : rows;
  });
}

/** Matches `Gather(Aᵀ, ids)·Bᵀ`. */
export function matchEmbeddingAdapter(scope: MatchScope, value: string): MatchResult<LowRankPath> {
  const up = matchLinearProduct(scope, value);
  if (!up.matched) return up;
  if (up.value.addend !== undefined) return mismatch('the adapter path adds a bias', up.value.node, 1);
  const down = matchLookup(scope, up.value.x);
  if (!down.matched) return { ...down, depth: down.depth + 1 };
  return matched({
    output: up.value.output,
    x: down.value.ids,
    loraA: transposedTrace(down.value.rows),
    loraB: up.value.weight,
    nodes: [down.value.node, up.value.node],
  });
}

interface Lookup {
  readonly node: NodeProto;
  readonly ids: string;
  /** What rows are taken of. */
  readonly rows: MatrixTrace;
}

function matchLookup(scope: MatchScope, value: string): MatchResult<Lookup> {
  const node = scope.producer(plain(scope, value));
  if (node === undefined || !isStandard(node, 'Gather')) {
    return mismatch(`"${value}" is not looked up in an embedding`, node);
  }
  if ((intAttribute(node, 'axis') ?? 0) !== 0) return mismatch('what is looked up are not rows', node, 1);
  const [table = '', ids = ''] = node.input;
  return matched({ node, ids, rows: traceMatrix(scope, table) });
}

function embedding(output: string, { node, ids, rows }: Lookup, scale: number, more: NodeProto[]): EmbeddingLayer {
  return {
    output,
    x: ids,
    weight: transposedTrace(rows),
    bias: undefined,
    form: more.length === 0 ? 'Gather' : 'Gather+Mul',
    nodes: [node, ...more],
    scale,
  };
}
