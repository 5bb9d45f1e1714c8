/** Following a value back to what it really is: through nodes that do not change it. */
import { DataType, intAttribute, intsAttribute, type NodeProto } from '@ort-dora/onnx';
import type { MatchScope } from './scope.js';

/** Nodes walked back at most: far more than any exporter chains, and a bound for hostile files. */
const LONGEST_CHAIN = 64;

/** The value without Identity nodes and casts that end in the type it has already. */
export function plain(scope: MatchScope, value: string): string {
  return walk(scope, value, () => false);
}

/** As {@link plain}, and without casts between floating-point types: the same quantity, perhaps rounded. */
export function uncast(scope: MatchScope, value: string): string {
  return walk(scope, value, (node) => isFloatCast(scope, node));
}

/** As {@link plain}, and without casts that lose nothing: the same numbers in another type. */
export function unwiden(scope: MatchScope, value: string): string {
  return walk(scope, value, (node) => isWideningCast(scope, node));
}

/** The producer of a value, behind Identity nodes and no-op casts. */
export function plainProducer(scope: MatchScope, value: string): NodeProto | undefined {
  return scope.producer(plain(scope, value));
}

/** Where a matrix comes from. */
export interface MatrixTrace {
  /** The deepest value that holds the matrix in its own element type; what a fused node reads. */
  readonly value: string;
  /** True: the matrix is the transpose of `value`. */
  readonly transposed: boolean;
  /** The deepest value that holds the same numbers, perhaps in a narrower type; what proofs and norms read. */
  readonly source: string;
  readonly sourceTransposed: boolean;
}

/** Follows a matrix through Identity, Transpose and casts that lose nothing. */
export function traceMatrix(scope: MatchScope, start: string): MatrixTrace {
  let current = start;
  let transposed = false;
  let usable: { value: string; transposed: boolean } | undefined;
  for (let step = 0; step < LONGEST_CHAIN; step++) {
    const node = scope.producer(current);
    if (node === undefined) break;
    const [input = ''] = node.input;
    if (isIdentity(scope, node)) {
      current = input;
    } else if (isMatrixTranspose(scope, node)) {
      current = input;
      transposed = !transposed;
    } else if (isWideningCast(scope, node)) {
      usable ??= { value: current, transposed };
      current = input;
    } else {
      break;
    }
  }
  usable ??= { value: current, transposed };
  return { ...usable, source: current, sourceTransposed: transposed };
}

/** The same matrix, transposed. */
export function transposedTrace(trace: MatrixTrace): MatrixTrace {
  return { ...trace, transposed: !trace.transposed, sourceTransposed: !trace.sourceTransposed };
}

/** Identity, or a cast to the type that the value has already. */
export function isIdentity(scope: MatchScope, node: NodeProto): boolean {
  if (!isStandard(node)) return false;
  if (node.opType === 'Identity') return true;
  if (node.opType !== 'Cast') return false;
  const from = scope.elementType(node.input[0] ?? '');
  return from !== undefined && from === intAttribute(node, 'to');
}

/** Whether the node is one of the standard operators. */
export function isStandard(node: NodeProto, opType?: string): boolean {
  const standard = node.domain === undefined || node.domain === '' || node.domain === 'ai.onnx';
  return standard && (opType === undefined || node.opType === opType);
}

function isFloatCast(scope: MatchScope, node: NodeProto): boolean {
  if (!isStandard(node, 'Cast')) return false;
  const from = scope.elementType(node.input[0] ?? '');
  return isFloat(from) && isFloat(intAttribute(node, 'to'));
}

function isWideningCast(scope: MatchScope, node: NodeProto): boolean {
  if (!isStandard(node, 'Cast')) return false;
  const from = scope.elementType(node.input[0] ?? '');
  const to = intAttribute(node, 'to');
  return (from === DataType.FLOAT16 || from === DataType.BFLOAT16) && to === DataType.FLOAT;
}

function isFloat(type: number | undefined): boolean {
  return type === DataType.FLOAT || type === DataType.FLOAT16 || type === DataType.BFLOAT16 || type === DataType.DOUBLE;
}

function isMatrixTranspose(scope: MatchScope, node: NodeProto): boolean {
  if (!isStandard(node, 'Transpose')) return false;
  const perm = intsAttribute(node, 'perm');
  if (perm !== undefined) return perm.join() === '1,0';
  return scope.shape(node.input[0] ?? '')?.length === 2;
}

function walk(scope: MatchScope, start: string, passes: (node: NodeProto) => boolean): string {
  let current = start;
  for (let step = 0; step < LONGEST_CHAIN; step++) {
    const node = scope.producer(current);
    const input = node?.input[0];
    if (node === undefined || input === undefined) return current;
    if (isIdentity(scope, node) || passes(node)) {
      current = input;
      continue;
    }
    const before = roundTrip(scope, node);
    if (before === undefined) return current;
    current = before;
  }
  return current;
}

/** What a cast back to the type before a widening cast gives: the value before both. */
function roundTrip(scope: MatchScope, node: NodeProto): string | undefined {
  if (!isStandard(node, 'Cast')) return undefined;
  let wide = scope.producer(node.input[0] ?? '');
  for (let step = 0; step < LONGEST_CHAIN && wide !== undefined && isIdentity(scope, wide); step++) {
    wide = scope.producer(wide.input[0] ?? '');
  }
  if (wide === undefined || !isWideningCast(scope, wide)) return undefined;
  const [narrow = ''] = wide.input;
  return scope.elementType(narrow) === intAttribute(node, 'to') ? narrow : undefined;
}
