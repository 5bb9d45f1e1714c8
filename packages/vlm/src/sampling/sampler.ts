// Logits to the next token, in the order of transformers' logits processors: repetition penalty, suppressed tokens, temperature,
// top-k, top-p.
import { VlmError } from '../errors.js';
import { type Random, seededRandom } from './random.js';
import type { SamplingSettings } from './sampling-options.js';

/** One token that the model might have chosen. */
export interface Candidate {
  readonly id: number;
  readonly logprob: number;
}

export interface Choice extends Candidate {
  /** The likeliest tokens, likeliest first, as many as were asked for. */
  readonly likeliest: readonly Candidate[];
}

export class Sampler {
  readonly #settings: SamplingSettings;
  readonly #suppressed: readonly number[];
  readonly #random: Random;
  /** The ids of prompt and answer, for the penalty. */
  readonly #seen: Set<number>;

  constructor(settings: SamplingSettings, suppressed: readonly number[], prompt: readonly number[]) {
    this.#settings = settings;
    this.#suppressed = suppressed;
    this.#random = seededRandom(settings.seed);
    this.#seen = new Set(settings.repetitionPenalty === 1 ? [] : prompt);
  }

  /** @param logits of the vocabulary; changed by the call. @throws VlmError MODEL_FAILED where none is finite */
  next(logits: Float32Array): number {
    this.#penalise(logits);
    for (const id of this.#suppressed) logits[id] = Number.NEGATIVE_INFINITY;
    const greedy = argmax(logits);
    const id = this.#settings.temperature === 0 ? greedy : this.#sample(logits, logits[greedy]!);
    if (this.#settings.repetitionPenalty !== 1) this.#seen.add(id);
    return id;
  }

  #penalise(logits: Float32Array): void {
    const penalty = this.#settings.repetitionPenalty;
    for (const id of this.#seen) logits[id] = logits[id]! > 0 ? logits[id]! / penalty : logits[id]! * penalty;
  }

  #sample(logits: Float32Array, highest: number): number {
    const { temperature, topK, topP } = this.#settings;
    const weights = new Float64Array(logits.length);
    for (let id = 0; id < weights.length; id++) weights[id] = Math.exp((logits[id]! - highest) / temperature);
    const total = weights.reduce(add, 0);
    // Few tokens need to be put in order: the k largest; or those above a bound below which all tokens add up to less than 1 − topP.
    const least = topK > 0 ? largest(weights, topK) : ((1 - topP) / weights.length) * total;
    let ids: number[] = [];
    for (let id = 0; id < weights.length; id++) if (weights[id]! > 0 && weights[id]! >= least) ids.push(id);
    if (topK > 0 || topP < 1) ids.sort((a, b) => weights[b]! - weights[a]! || a - b);
    if (topK > 0) ids = ids.slice(0, topK);
    if (topP < 1) ids = nucleus(ids, weights, topP, topK > 0 ? weightOf(ids, weights) : total);
    return draw(ids, weights, this.#random());
  }
}

/** The log-probability of `id` and the `count` likeliest tokens, of the model's own distribution. */
export function logprobs(logits: Float32Array, id: number, count: number): Choice {
  const highest = logits[argmax(logits)]!;
  const normaliser = highest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
  const likeliest: Candidate[] = [];
  for (let other = 0; other < logits.length && count > 0; other++) {
    const logprob = logits[other]! - normaliser;
    if (likeliest.length === count && logprob <= likeliest.at(-1)!.logprob) continue;
    if (likeliest.length === count) likeliest.pop();
    const at = likeliest.findIndex((candidate) => candidate.logprob < logprob);
    likeliest.splice(at < 0 ? likeliest.length : at, 0, { id: other, logprob });
  }
  return { id, logprob: logits[id]! - normaliser, likeliest };
}

/** The first of the highest. */
function argmax(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]! || Number.isNaN(logits[best]!)) best = id;
  if (!Number.isFinite(logits[best]!))
    throw new VlmError('MODEL_FAILED', 'the model gave no finite logit for the next token');
  return best;
}

/** As TopPLogitsWarper: from the least likely on, tokens go while they add up to at most 1 − topP of `total`. One stays. */
function nucleus(sorted: readonly number[], weights: Float64Array, topP: number, total: number): number[] {
  let rest = total - weightOf(sorted, weights);
  let end = sorted.length;
  while (end > 1) {
    rest += weights[sorted[end - 1]!]!;
    if (rest > (1 - topP) * total) break;
    end--;
  }
  return sorted.slice(0, end);
}

function draw(ids: readonly number[], weights: Float64Array, uniform: number): number {
  let left = uniform * weightOf(ids, weights);
  for (const id of ids) {
    left -= weights[id]!;
    if (left < 0) return id;
  }
  return ids.at(-1)!;
}

/** The k-th largest; the least where there are fewer. */
function largest(weights: Float64Array, k: number): number {
  return weights.toSorted()[Math.max(weights.length - k, 0)]!;
}

function weightOf(ids: readonly number[], weights: Float64Array): number {
  return ids.reduce((total, id) => total + weights[id]!, 0);
}

function add(a: number, b: number): number {
  return a + b;
}
