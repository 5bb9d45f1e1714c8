import { intAttribute, intsAttribute, type NodeProto } from '@ort-dora/onnx';
import type { Delta } from './delta.js';
import { type Gain, matchScaled } from './gain.js';
import { matchProduct } from './product.js';
import { deeper, eitherOrder, firstMatch, type MatchResult, matched, mismatch } from './result.js';
import type { MatchScope } from './scope.js';
import { isStandard, type MatrixTrace, plain, uncast, unwiden } from './trace.js';

/**
 * Matches the gain of a convolution: `m / ‖W + s·D‖`, m and g being `[1, out, 1…]`, the norm taken over all axes but the
 * outputs, and D the product of B and A as matrices, in W's shape (PEFT `_DoraConvNdLayer`).
 */
export function matchConvolutionGain(scope: MatchScope, gain: string): MatchResult<Gain> {
  const division = scope.producer(uncast(scope, gain));
  if (division === undefined || !isStandard(division, 'Div')) {
    return mismatch('g is not a quotient of a magnitude and a norm', division);
  }
  const [magnitude = '', norm = ''] = division.input;
  const transpose = scope.producer(uncast(scope, norm));
  const perm = transpose === undefined ? [] : (intsAttribute(transpose, 'perm') ?? []);
  const swapped = perm.map((_, index) => (index < 2 ? 1 - index : index));
  if (transpose === undefined || !isStandard(transpose, 'Transpose') || perm.join() !== swapped.join()) {
    return mismatch('the norm does not have the shape [1, out, 1…]', transpose ?? division, 1);
  }
  const reduction = scope.producer(uncast(scope, transpose.input[0] ?? ''));
  if (reduction === undefined || !isStandard(reduction, 'ReduceL2')) {
    return mismatch('the divisor is not the plain norm of W + s·B·A', reduction ?? transpose, 1);
  }
  const summed = uncast(scope, reduction.input[0] ?? '');
  if (perm.length !== scope.shape(summed)?.length || !isOverAllButOutputs(scope, reduction, perm.length)) {
    return mismatch('the norm is not taken over all axes but the outputs', reduction, 2);
  }
  const sum = scope.producer(summed);
  if (sum === undefined || !isStandard(sum, 'Add')) {
    return mismatch('what the norm is taken of is not a sum W + s·B·A', sum ?? reduction, 3);
  }
  const split = (weight: string, scaled: string, match: typeof matchDelta): MatchResult<Gain> => {
    const scale = matchScaled(scope, scaled);
    const delta = match(scope, scale.value);
    if (!delta.matched) return deeper(delta, 4);
    if (!sameShape(scope.shape(weight), scope.shape(scale.value))) {
      return mismatch("B·A is not known to have W's shape", sum, 5);
    }
    return matched({
      division,
      magnitude,
      weight: rowsOf(scope, weight),
      scaling: scale.scaling,
      delta: delta.value,
    });
  };
  // A folded D is a constant like W: it is only looked for where no product is found, and taken to be the scaled side.
  const scaledFirst = matchScaled(scope, sum.input[0] ?? '').scaling !== 1;
  const [weight = '', scaled = ''] = scaledFirst ? sum.input.toReversed() : sum.input;
  return firstMatch([
    () => eitherOrder(sum, (weight, scaled) => split(weight, scaled, matchDelta)),
    () => split(weight, scaled, matchFoldedDelta),
  ]);
}

function isOverAllButOutputs(scope: MatchScope, node: NodeProto, rank: number): boolean {
  if ((intAttribute(node, 'keepdims') ?? 1) !== 1) return false;
  const [, input = ''] = node.input;
  const axes = input === '' ? intsAttribute(node, 'axes') : scope.integers(input);
  const reduced = new Set(axes?.map((axis) => (axis < 0 ? axis + rank : axis)));
  return reduced.size === rank - 1 && !reduced.has(0);
}

/** D as the exporter has folded it: proved by multiplying B and A. */
function matchFoldedDelta(scope: MatchScope, value: string): MatchResult<Delta> {
  const matrix = rowsOf(scope, uncast(scope, value));
  if (scope.constant(matrix.source) === undefined) {
    return mismatch(`"${matrix.source}" is not a constant`, scope.producer(matrix.source));
  }
  return matched({ kind: 'constant', matrix });
}

/** D: the product of two matrices in W's shape. */
function matchDelta(scope: MatchScope, value: string): MatchResult<Delta> {
  const shaped = uncast(scope, value);
  const product = matchProduct(scope, rowsOf(scope, shaped).source);
  if (!product.matched) return product;
  const { node, left, leftTransposed, right, addend } = product.value;
  if (addend !== undefined) return mismatch('the dense B·A adds a bias', node, 1);
  if (leftTransposed || right.transposed) return mismatch('the dense B·A transposes a factor', node, 1);
  return matched({
    kind: 'factors',
    eye: undefined,
    loraA: rowsOf(scope, right.value),
    loraB: rowsOf(scope, left),
    nodes: [node],
  });
}

/** Steps that are followed from a matrix back to the tensor that holds its rows. */
const LONGEST_CHAIN = 16;

/** A value behind what keeps its rows as they are: Identity, casts that lose nothing, Reshape and Flatten to other columns. */
function rowsOf(scope: MatchScope, start: string): MatrixTrace {
  let value = start;
  let source = start;
  for (let step = 0; step < LONGEST_CHAIN; step++) {
    const before = source;
    source = unwiden(scope, source);
    const node = scope.producer(source);
    if (node !== undefined && keepsRows(scope, node)) source = node.input[0] ?? '';
    if (source === before) break;
  }
  value = plain(scope, value);
  return { value, transposed: false, source, sourceTransposed: false };
}

function keepsRows(scope: MatchScope, node: NodeProto): boolean {
  if (isStandard(node, 'Flatten')) return (intAttribute(node, 'axis') ?? 1) === 1;
  if (!isStandard(node, 'Reshape')) return false;
  const rows = scope.shape(node.input[0] ?? '')?.[0];
  return rows !== undefined && rows === scope.shape(node.output[0] ?? '')?.[0];
}

/** Whether two shapes are known, and the same. */
function sameShape(
  left: readonly (number | undefined)[] | undefined,
  right: readonly (number | undefined)[] | undefined,
): boolean {
  return left !== undefined && left.join() === right?.join() && !left.includes(undefined);
}
