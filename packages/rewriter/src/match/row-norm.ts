import { intAttribute, intsAttribute, type NodeProto } from '@ort-dora/onnx';
import { type MatchResult, matched, mismatch } from './result.js';
import { constantScalar } from './scalar.js';
import type { MatchScope } from './scope.js';
import { isStandard, uncast } from './trace.js';

/** The 2-norm of each row of a matrix, `[rows, columns]` to `[rows]`, with nothing added or clamped. */
export interface RowNorm {
  /** The matrix. */
  readonly operand: string;
  /** The node that reduces it. */
  readonly reduction: NodeProto;
}

/** Matches ReduceL2, or what it stands for: the root of ReduceSumSquare, or of ReduceSum over X·X or X². */
export function matchRowNorm(scope: MatchScope, value: string): MatchResult<RowNorm> {
  const node = scope.producer(uncast(scope, value));
  if (node !== undefined && isStandard(node, 'ReduceL2')) return rowsOf(scope, node, node.input[0]);
  if (node === undefined || !isRoot(scope, node)) {
    return mismatch('the divisor is not the plain norm of W + s·B·A', node);
  }
  const sum = scope.producer(uncast(scope, node.input[0] ?? ''));
  if (sum !== undefined && isStandard(sum, 'ReduceSumSquare')) return rowsOf(scope, sum, sum.input[0]);
  if (sum !== undefined && isStandard(sum, 'ReduceSum')) return rowsOf(scope, sum, squareRoot(scope, sum.input[0]));
  return mismatch('the divisor is not the plain norm of W + s·B·A', sum ?? node);
}

function rowsOf(scope: MatchScope, reduction: NodeProto, operand: string | undefined): MatchResult<RowNorm> {
  if (operand === undefined) return mismatch('the divisor is not the plain norm of W + s·B·A', reduction);
  if (!dropsColumns(scope, reduction)) {
    return mismatch('the norm is not taken over the inputs, one per output', reduction, 1);
  }
  return matched({ operand: unsigned(scope, operand), reduction });
}

/** X where the value is |X| (torch up to 2.6): squares are the same. */
function unsigned(scope: MatchScope, value: string): string {
  const node = scope.producer(uncast(scope, value));
  return node !== undefined && isStandard(node, 'Abs') ? (node.input[0] ?? '') : value;
}

/** Sqrt, or a power of a half. */
function isRoot(scope: MatchScope, node: NodeProto): boolean {
  if (isStandard(node, 'Sqrt')) return true;
  return isStandard(node, 'Pow') && constantScalar(scope, node.input[1] ?? '') === 0.5;
}

/** X where the value is X·X or X². */
function squareRoot(scope: MatchScope, value = ''): string | undefined {
  const node = scope.producer(uncast(scope, value));
  if (node === undefined) return undefined;
  const [left = '', right = ''] = node.input;
  if (isStandard(node, 'Mul')) return uncast(scope, left) === uncast(scope, right) ? left : undefined;
  return isStandard(node, 'Pow') && constantScalar(scope, right) === 2 ? left : undefined;
}

/** Whether a reduction leaves of a matrix one element a row, and drops the axis. */
function dropsColumns(scope: MatchScope, node: NodeProto): boolean {
  if ((intAttribute(node, 'keepdims') ?? 1) !== 0) return false;
  const [, axesInput = ''] = node.input;
  const axes = axesInput === '' ? intsAttribute(node, 'axes') : scope.integers(axesInput);
  const [axis] = axes ?? [];
  // The operand is a sum with a traced matrix, so its rank is 2.
  return axes?.length === 1 && (axis === 1 || axis === -1);
}
