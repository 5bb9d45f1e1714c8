import { intsAttribute, type NodeProto } from '@ort-dora/onnx';
import { type Delta, matchDelta, matchFoldedDelta } from './delta.js';
import { deeper, eitherOrder, firstMatch, type MatchResult, matched, mismatch } from './result.js';
import { matchRowNorm } from './row-norm.js';
import { constantScalar } from './scalar.js';
import type { MatchScope } from './scope.js';
import { isStandard, type MatrixTrace, plain, traceMatrix, uncast } from './trace.js';

/** g = m / n. */
export interface Quotient {
  readonly division: NodeProto;
  /** m, `[out]`. */
  readonly magnitude: string;
  /** n, `[out]`. */
  readonly norm: string;
}

/** g = m / ‖W + s·D‖ as found in the graph. */
export interface Gain extends Omit<Quotient, 'norm'> {
  /** W `[out, in]` on the norm's path. */
  readonly weight: MatrixTrace;
  /** s on the norm's path; 1 where nothing is multiplied. */
  readonly scaling: number;
  readonly delta: Delta;
}

/** Matches g from the value that is multiplied with the adapter's result. */
export function matchGain(scope: MatchScope, gain: string): MatchResult<Gain> {
  const quotient = matchQuotient(scope, gain);
  return quotient.matched ? matchNorm(scope, quotient.value) : quotient;
}

/** Matches m / n, whatever n is, from the value that is multiplied with the adapter's result. */
export function matchQuotient(scope: MatchScope, gain: string): MatchResult<Quotient> {
  const row = matchRow(scope, gain);
  if (!row.matched) return row;
  const division = scope.producer(row.value);
  if (division === undefined || !isStandard(division, 'Div')) {
    return mismatch('g is not a quotient of a magnitude and a norm', division);
  }
  const [magnitude = '', norm = ''] = division.input;
  return matched({ division, magnitude, norm });
}

function matchNorm(scope: MatchScope, quotient: Quotient): MatchResult<Gain> {
  const { division, magnitude, norm } = quotient;
  const rows = matchRowNorm(scope, norm);
  if (!rows.matched) return deeper({ ...rows, culprit: rows.culprit ?? division }, 1);
  const { operand, reduction } = rows.value;
  if (scope.shape(magnitude)?.length !== 1) return mismatch('the magnitude is not a vector', division, 2);

  const summed = uncast(scope, operand);
  const sum = scope.producer(summed);
  if (sum === undefined || !isStandard(sum, 'Add')) {
    return mismatch('what the norm is taken of is not a sum W + s·B·A', sum ?? reduction, 3);
  }
  const split = (weight: string, scaled: string, folded: boolean): MatchResult<Gain> => {
    const scale = matchScaled(scope, scaled);
    const delta = folded ? matchFoldedDelta(scope, scale.value) : matchDelta(scope, scale.value);
    if (!delta.matched) return deeper(delta, 4);
    return matched({
      division,
      magnitude,
      weight: traceMatrix(scope, weight),
      scaling: scale.scaling,
      delta: delta.value,
    });
  };
  // A folded D is a constant like W: it is only looked for where no product is found, and taken to be the scaled side.
  const scaledFirst = matchScaled(scope, sum.input[0] ?? '').scaling !== 1;
  const [weight = '', scaled = ''] = scaledFirst ? sum.input.toReversed() : sum.input;
  return firstMatch([
    () => eitherOrder(sum, (weight, scaled) => split(weight, scaled, false)),
    () => split(weight, scaled, true),
  ]);
}

/** `D·s` in either order; `D` alone is scaled by 1. */
export function matchScaled(scope: MatchScope, value: string): { readonly value: string; readonly scaling: number } {
  const node = scope.producer(uncast(scope, value));
  if (node === undefined || !isStandard(node, 'Mul')) return { value, scaling: 1 };
  const [left = '', right = ''] = node.input;
  const ofRight = constantScalar(scope, right);
  if (ofRight !== undefined) return { value: left, scaling: ofRight };
  const ofLeft = constantScalar(scope, left);
  if (ofLeft !== undefined) return { value: right, scaling: ofLeft };
  return { value, scaling: 1 };
}

/** The vector `[out]` that a row `[1, out]` was made of; the vector itself where nothing was done to it. */
function matchRow(scope: MatchScope, value: string): MatchResult<string> {
  const source = uncast(scope, value);
  const node = scope.producer(source);
  if (node !== undefined && isStandard(node, 'Reshape')) {
    const shape = scope.integers(node.input[1] ?? '');
    const isRow = shape?.length === 2 && shape[0] === 1;
    if (!isRow) return mismatch('g is not reshaped to a row [1, out]', node);
    return matched(uncast(scope, node.input[0] ?? ''));
  }
  if (node !== undefined && isStandard(node, 'Unsqueeze')) {
    const axes = intsAttribute(node, 'axes') ?? scope.integers(node.input[1] ?? '');
    if (axes?.length !== 1 || axes[0] !== 0) return mismatch('g is not unsqueezed to a row [1, out]', node);
    return matched(uncast(scope, node.input[0] ?? ''));
  }
  return matched(plain(scope, source));
}
