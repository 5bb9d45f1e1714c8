/** The one rule by which a rewrite is judged (docs: "Verification"). Everything here is pure arithmetic on figures. */

import type { Difference } from './difference.js';
import { type ElementType, isFloatType, isHalfType, unitRoundoff } from './tensor.js';

/** A float32 output may differ from the original's by this much of max|y|. */
export const float32Tolerance = 1e-4;
export const float32Cosine = 0.999999;
export const halfCosine = 0.9999;
/** The float32 rounding of one module, generously: what the original graph and the formula may differ by. */
export const referenceTolerance = 2e-5;
/** A rewrite may be this much further from the truth than the original is. */
export const errorFactor = 2;

export interface Judgement {
  readonly passed: boolean;
  /** What was compared with what, in words and figures, for the reader of a report. */
  readonly reason: string;
}

/** The figures of one output of the whole model. */
export interface OutputFigures {
  readonly type: ElementType;
  /** Rewritten against original. */
  readonly difference: Difference;
  /**
   * For half-precision models: rewritten, and original, against the original graph computed in float32.
   * Absent where the original could not be computed in float32.
   */
  readonly fromFloat32?: { readonly rewritten: Difference; readonly original: Difference };
}

/**
 * Whole outputs. Of float32 models: within 10⁻⁴ of max|y| and cosine ≥ 0.999999 of the original's. Of half-precision models,
 * whatever the type of the output: no further from the original graph in float32 than twice the original's own distance, and
 * cosine ≥ 0.9999. Where the original happens to be nearer than its output's type can say, one rounding of max|y| is allowed; to
 * a float32 output of such a model, what float32 models are. Integers and bools: equal.
 *
 * @param tolerance replaces the limits on errors by one: |rewritten − original| ≤ tolerance·max|y| for every type
 */
export function judgeOutput(figures: OutputFigures, tolerance?: number): Judgement {
  const { type, difference, fromFloat32 } = figures;
  if (difference.nonFiniteMismatches > 0) {
    return fail(`${difference.nonFiniteMismatches} elements are NaN or infinite in only one of the two`);
  }
  if (tolerance !== undefined) return atMost('difference', difference.relative, tolerance, 'the given tolerance');
  if (!isFloatType(type)) {
    return difference.maxAbs === 0
      ? pass('equal')
      : fail(`differs by up to ${show(difference.maxAbs)} where equality is expected`);
  }
  const half = isHalfType(type);
  if (fromFloat32) {
    const { rewritten, original } = fromFloat32;
    if (rewritten.nonFiniteMismatches > original.nonFiniteMismatches) {
      return fail(
        `${rewritten.nonFiniteMismatches} elements are NaN or infinite, or finite, unlike in the float32 graph`,
      );
    }
    const limit = Math.max(errorFactor * original.relative, half ? unitRoundoff(type) : float32Tolerance);
    return both(
      atMost(
        'distance from float32',
        rewritten.relative,
        limit,
        `${errorFactor} × the original's ${show(original.relative)}`,
      ),
      atLeastCosine(difference.cosine, halfCosine),
    );
  }
  return both(
    atMost('difference', difference.relative, half ? errorFactor * unitRoundoff(type) : float32Tolerance, 'of max|y|'),
    atLeastCosine(difference.cosine, half ? halfCosine : float32Cosine),
  );
}

/** The figures of one module: errors against DoRA in float64. */
export interface ModuleFigures {
  /** Type of the module's output. */
  readonly type: ElementType;
  readonly original: Difference;
  readonly rewritten: Difference;
}

/** The largest error that the rule allows a rewritten module, relative to max|y|. */
export const moduleLimit = ({ type, original }: Pick<ModuleFigures, 'type' | 'original'>) =>
  errorFactor * original.relative + unitRoundoff(type);

/** One module: the rewritten one's error is at most twice the original's plus one rounding of the output type. */
export function judgeModule(figures: ModuleFigures): Judgement {
  const { original, rewritten } = figures;
  if (rewritten.nonFiniteMismatches > original.nonFiniteMismatches) {
    return fail(
      `${rewritten.nonFiniteMismatches} elements are NaN or infinite, or finite, unlike in float64; ${original.nonFiniteMismatches} are in the original`,
    );
  }
  const meaning = `${errorFactor} × the original's ${show(original.relative)} + one rounding`;
  return atMost('error', rewritten.relative, moduleLimit(figures), meaning);
}

/**
 * A rewritten module whose original cannot run: the original would have rounded its output at least once, so that twice its
 * error plus one rounding is at least three roundings.
 */
export function judgeAlone(type: ElementType, rewritten: Difference): Judgement {
  if (rewritten.nonFiniteMismatches > 0) {
    return fail(`${rewritten.nonFiniteMismatches} elements are NaN or infinite, or finite, unlike in float64`);
  }
  return atMost('error', rewritten.relative, aloneLimit(type), 'three roundings');
}

export const aloneLimit = (type: ElementType) => (errorFactor + 1) * unitRoundoff(type);

/**
 * Whether the reference is this module at all: the original graph in float32 must compute what the formula says, or else
 * the rewrite has mistaken the module (its scaling, say), and agreeing with the formula would mean nothing.
 *
 * @param storedRounding what the export may have rounded, relatively, when it stored constants of the module
 */
export function judgeReference(float32: Difference, storedRounding = 0): Judgement {
  const limit = referenceTolerance + storedRounding;
  if (float32.nonFiniteMismatches === 0 && float32.relative <= limit) return pass('');
  return fail(
    `the original graph in float32 is ${show(float32.relative)} of max|y| away from DoRA on these weights: the module is not what the rewrite took it for`,
  );
}

/** The rewritten module's error as a multiple of the original's; 1 where both are nothing. */
export function errorRatio({ original, rewritten }: Pick<ModuleFigures, 'original' | 'rewritten'>): number {
  if (rewritten.relative === 0) return original.relative === 0 ? 1 : 0;
  return Math.min(rewritten.relative / original.relative, Number.MAX_VALUE);
}

const pass = (reason: string): Judgement => ({ passed: true, reason });
const fail = (reason: string): Judgement => ({ passed: false, reason });

function atMost(name: string, value: number, limit: number, meaning: string): Judgement {
  // A comparison with NaN is false, so a figure that is not a number never passes.
  const passed = value <= limit;
  return { passed, reason: `${name} ${show(value)} ${passed ? '≤' : 'exceeds'} ${show(limit)} (${meaning})` };
}

function atLeastCosine(value: number, least: number): Judgement {
  const passed = value >= least;
  return { passed, reason: `cosine ${value.toFixed(8)} ${passed ? '≥' : 'is below'} ${least}` };
}

const both = (a: Judgement, b: Judgement): Judgement => ({
  passed: a.passed && b.passed,
  reason: [a, b]
    .filter((judgement) => a.passed === b.passed || !judgement.passed)
    .map((judgement) => judgement.reason)
    .join('; '),
});

const show = (value: number) => (value === 0 ? '0' : value.toExponential(1));
