// The distribution that a token is drawn from: temperature, then top-k, then top-p, as transformers' logits warpers apply them.
import type { SamplingSettings } from './sampling-options.js';

export interface Distribution {
  /** The tokens left, likeliest first where top-k or top-p applied. */
  readonly ids: readonly number[];
  /** Of every token of the vocabulary, in proportion to its probability. */
  readonly weights: Float64Array;
}

/** @param highest the highest logit; temperature must be above 0 */
export function distribution(
  logits: Float32Array,
  highest: number,
  { temperature, topK, topP }: Pick<SamplingSettings, 'temperature' | 'topK' | 'topP'>,
): Distribution {
  const weights = new Float64Array(logits.length);
  for (let id = 0; id < weights.length; id++) weights[id] = Math.exp((logits[id]! - highest) / temperature);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // Few tokens need to be put in order: those at least as likely as the k-th; or those above a bound below which all tokens add up to
  // less than 1 − topP.
  const least = topK > 0 ? largest(weights, topK) : ((1 - topP) / weights.length) * total;
  const ids: number[] = [];
  for (let id = 0; id < weights.length; id++) if (weights[id]! > 0 && weights[id]! >= least) ids.push(id);
  if (topK > 0 || topP < 1) ids.sort((a, b) => weights[b]! - weights[a]! || a - b);
  return { ids: topP < 1 ? nucleus(ids, weights, topP, topK > 0 ? weightOf(ids, weights) : total) : ids, weights };
}

/** @param uniform in [0, 1) */
export function draw({ ids, weights }: Distribution, uniform: number): number {
  let left = uniform * weightOf(ids, weights);
  for (const id of ids) {
    left -= weights[id]!;
    if (left < 0) return id;
  }
  return ids.at(-1)!;
}

/** From the least likely on, tokens go while they add up to at most 1 − topP of `total`. One stays. */
function nucleus(sorted: readonly number[], weights: Float64Array, topP: number, total: number): readonly number[] {
  let rest = total - weightOf(sorted, weights);
  let end = sorted.length;
  while (end > 1) {
    rest += weights[sorted[end - 1]!]!;
    if (rest > (1 - topP) * total) break;
    end--;
  }
  return sorted.slice(0, end);
}

/** The k-th largest; the least where there are fewer. */
function largest(weights: Float64Array, k: number): number {
  return weights.toSorted()[Math.max(weights.length - k, 0)]!;
}

function weightOf(ids: readonly number[], weights: Float64Array): number {
  return ids.reduce((total, id) => total + weights[id]!, 0);
}
