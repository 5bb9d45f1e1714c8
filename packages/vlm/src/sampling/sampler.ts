// Logits to the next token: repetition penalty and suppressed tokens, then greedy or drawn, in the order of transformers.
import { VlmError } from '../errors.js';
import { distribution, draw } from './distribution.js';
import { type Random, seededRandom } from './random.js';
import type { SamplingSettings } from './sampling-options.js';

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
    const likeliest = argmax(logits);
    const isGreedy = this.#settings.temperature === 0;
    const id = isGreedy ? likeliest : draw(distribution(logits, logits[likeliest]!, this.#settings), this.#random());
    if (this.#settings.repetitionPenalty !== 1) this.#seen.add(id);
    return id;
  }

  #penalise(logits: Float32Array): void {
    const penalty = this.#settings.repetitionPenalty;
    for (const id of this.#seen) logits[id] = logits[id]! > 0 ? logits[id]! / penalty : logits[id]! * penalty;
  }
}

/** The first of the highest. */
function argmax(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]! || Number.isNaN(logits[best]!)) best = id;
  if (!Number.isFinite(logits[best]!)) {
    throw new VlmError('MODEL_FAILED', 'the model gave no finite logit for the next token');
  }
  return best;
}
