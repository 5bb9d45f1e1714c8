import { DataType, intAttribute, type NodeProto, type TensorProto } from '@ort-dora/onnx';
import { type MatchResult, matched, mismatch } from './result.js';
import type { MatchScope } from './scope.js';
import { isStandard, plain, uncast } from './trace.js';

/**
 * An identity matrix as exporters write it. What its constants hold is still to be proved, since that may mean reading
 * them.
 */
export type Eye =
  /** EyeLike over a constant shape: proved by structure. */
  | { readonly kind: 'eyeLike'; readonly size: number }
  /** `row[n,1] == column[n]`, both counting from 0: dynamo. */
  | { readonly kind: 'equalEye'; readonly size: number; readonly counters: readonly TensorProto[] }
  /** A stored matrix, of truth values or numbers. */
  | { readonly kind: 'constantEye'; readonly size: number; readonly matrix: TensorProto };

/** Matches an identity matrix; `depth` of a mismatch is 1 where the value at least looks like one. */
export function matchEye(scope: MatchScope, value: string): MatchResult<Eye> {
  const source = withoutCasts(scope, value);
  const tensor = scope.constant(source);
  if (tensor !== undefined) return storedEye(tensor, scope.producer(source));
  const node = scope.producer(source);
  if (node === undefined) return mismatch(`"${source}" is not an identity matrix`);
  if (isStandard(node, 'EyeLike')) return eyeLike(scope, node);
  if (isStandard(node, 'Equal')) return equalEye(scope, node);
  return mismatch(`expected an identity matrix, found ${node.opType}`, node);
}

function storedEye(matrix: TensorProto, node: NodeProto | undefined): MatchResult<Eye> {
  const [rows, columns] = matrix.dims.map(Number);
  if (matrix.dims.length !== 2 || rows !== columns || rows === undefined) {
    return mismatch(`"${matrix.name ?? ''}" is not a square matrix`, node);
  }
  return matched({ kind: 'constantEye', size: rows, matrix });
}

function eyeLike(scope: MatchScope, node: NodeProto): MatchResult<Eye> {
  const k = intAttribute(node, 'k') ?? 0;
  if (k !== 0) return mismatch(`EyeLike has its ones on diagonal ${k}, not 0`, node, 1);
  const input = plain(scope, node.input[0] ?? '');
  const filler = scope.producer(input);
  const shape =
    filler !== undefined && isStandard(filler, 'ConstantOfShape')
      ? scope.integers(filler.input[0] ?? '')
      : scope.shape(input);
  const [rows, columns] = shape ?? [];
  if (shape?.length !== 2 || rows === undefined || rows !== columns) {
    return mismatch("EyeLike's shape is not a known square", node, 1);
  }
  return matched({ kind: 'eyeLike', size: rows });
}

function equalEye(scope: MatchScope, node: NodeProto): MatchResult<Eye> {
  const counters: TensorProto[] = [];
  for (const input of node.input) {
    const tensor = scope.constant(plain(scope, input));
    if (tensor === undefined) return mismatch(`"${input}" is not a constant counter`, node, 1);
    counters.push(tensor);
  }
  const shapes = counters.map(({ dims }) => dims.map(Number));
  const column = shapes.find((dims) => dims.length === 2 && dims[1] === 1);
  const row = shapes.find((dims) => dims !== column && (dims.length === 1 || dims[0] === 1));
  const size = column?.[0];
  if (size === undefined || row === undefined || row.at(-1) !== size) {
    return mismatch(`Equal compares shapes ${shapes.map((dims) => `[${dims.join(',')}]`).join(' and ')}`, node, 1);
  }
  return matched({ kind: 'equalEye', size, counters });
}

/** No cast between numeric types changes a 0 or a 1. */
function withoutCasts(scope: MatchScope, value: string): string {
  let current = uncast(scope, value);
  for (let step = 0; step < 8; step++) {
    const node = scope.producer(current);
    if (node === undefined || !isStandard(node, 'Cast') || intAttribute(node, 'to') === DataType.STRING) break;
    current = uncast(scope, node.input[0] ?? '');
  }
  return current;
}
