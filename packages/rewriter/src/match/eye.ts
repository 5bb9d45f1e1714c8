import { DataType, intAttribute, type NodeProto, type TensorProto } from '@ort-dora/onnx';
import type { Shape } from './inference.js';
import { deeper, type MatchResult, matched, mismatch } from './result.js';
import { constantScalar } from './scalar.js';
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
  if (isStandard(node, 'Where')) return chosenEye(scope, node);
  return mismatch(`expected an identity matrix, found ${node.opType}`, node);
}

function storedEye(matrix: TensorProto, node: NodeProto | undefined): MatchResult<Eye> {
  const [rows = 0, columns] = matrix.dims.map(Number);
  if (matrix.dims.length !== 2 || rows !== columns) {
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

/** Ones where an identity matrix of truth values is true, zeros elsewhere: torch.onnx before 2.7. */
function chosenEye(scope: MatchScope, node: NodeProto): MatchResult<Eye> {
  const [condition = '', ones = '', zeros = ''] = node.input;
  if (constantScalar(scope, ones) !== 1 || constantScalar(scope, zeros) !== 0) {
    return mismatch('Where does not choose between 1 and 0', node, 1);
  }
  return matchEye(scope, condition);
}

function equalEye(scope: MatchScope, node: NodeProto): MatchResult<Eye> {
  const shapes = node.input.map((input) => scope.shape(input));
  const [left = [], right = []] = shapes;
  const size = gridSize(left, right) ?? gridSize(right, left);
  if (size === undefined) {
    const described = shapes.map((dims) => `[${dims ?? '?'}]`).join(' and ');
    return mismatch(`Equal compares shapes ${described}, not a column and a row of one length`, node, 1);
  }
  const counters: TensorProto[] = [];
  for (const input of node.input) {
    const counter = matchCounter(scope, input, size);
    if (!counter.matched) return deeper(counter, 1);
    if (counter.value !== undefined) counters.push(counter.value);
  }
  return matched({ kind: 'equalEye', size, counters });
}

/** n of a column `[n, 1]` and a row `[n]` or `[1, n]`, which compare as a square. */
function gridSize(column: Shape, row: Shape): number | undefined {
  const isColumn = column.length === 2 && column[1] === 1;
  const isRow = row.length === 1 || (row.length === 2 && row[0] === 1);
  return isColumn && isRow && column[0] === row.at(-1) ? column[0] : undefined;
}

/** Largest number up to which every whole number can be told apart in a type. */
const LARGEST_COUNT: ReadonlyMap<number, number> = new Map([
  [DataType.UINT8, 2 ** 8 - 1],
  [DataType.INT8, 2 ** 7 - 1],
  [DataType.UINT16, 2 ** 16 - 1],
  [DataType.INT16, 2 ** 15 - 1],
  [DataType.INT32, 2 ** 31 - 1],
  [DataType.UINT32, 2 ** 32 - 1],
  [DataType.INT64, Number.MAX_SAFE_INTEGER],
  [DataType.UINT64, Number.MAX_SAFE_INTEGER],
  [DataType.FLOAT16, 2 ** 11],
  [DataType.BFLOAT16, 2 ** 8],
  [DataType.FLOAT, 2 ** 24],
  [DataType.DOUBLE, 2 ** 53],
]);

/**
 * Numbers from 0 up to `size`, exclusive, as a row or a column: a stored tensor, whose elements are still to be proved,
 * or a Range, which needs no more proof (undefined).
 */
function matchCounter(scope: MatchScope, value: string, size: number): MatchResult<TensorProto | undefined> {
  let current = plain(scope, value);
  for (let step = 0; step < 8; step++) {
    const tensor = scope.constant(current);
    if (tensor !== undefined) return matched(tensor);
    const node = scope.producer(current);
    if (node !== undefined && isStandard(node, 'Range')) {
      const [start, limit, delta] = node.input.map((input) => constantScalar(scope, input));
      const counts = start === 0 && limit === size && delta === 1;
      return counts ? matched(undefined) : mismatch('a Range does not count from 0 by 1', node);
    }
    const isCast = node !== undefined && isStandard(node, 'Cast');
    if (isCast && (LARGEST_COUNT.get(intAttribute(node, 'to') ?? 0) ?? 0) < size - 1) {
      return mismatch(`a Cast to type ${intAttribute(node, 'to')} cannot count to ${size - 1}`, node);
    }
    const isReshape = node !== undefined && (isStandard(node, 'Unsqueeze') || isStandard(node, 'Reshape'));
    if (!isCast && !isReshape) return mismatch(`"${current}" is not a constant counter`, node);
    current = plain(scope, node?.input[0] ?? '');
  }
  return mismatch(`"${value}" is not a constant counter`);
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
