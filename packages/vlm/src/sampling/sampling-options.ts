// How the next token is chosen.
import { randomInt } from 'node:crypto';
import { unexpected } from '../errors.js';
import type { GenerationDefaults } from '../folder/model-settings.js';

export interface SamplingOptions {
  /** 0: greedy. Default: that of generation_config.json where it says `do_sample`, else 0. */
  readonly temperature?: number;
  /** Samples from the fewest tokens whose probabilities add up to this; 1 (default): from all. */
  readonly topP?: number;
  /** Samples from the so many likeliest tokens; 0 (default): from all. */
  readonly topK?: number;
  /** Divides the positive logits of tokens that are in prompt or answer already, and multiplies the negative ones; 1 (default): none. */
  readonly repetitionPenalty?: number;
  /** A safe integer of at least 0. Equal seeds give equal answers for equal logits. Default: random. */
  readonly seed?: number;
}

export type SamplingSettings = Required<SamplingOptions>;

/** @throws VlmError INVALID_ARGUMENT */
export function samplingSettings(options: SamplingOptions, defaults: GenerationDefaults): SamplingSettings {
  const { seed = randomInt(2 ** 47) } = options;
  if (!Number.isSafeInteger(seed) || seed < 0) throw unexpected('seed', 'a safe integer of at least 0', seed);
  const topK = within('topK', options.topK ?? defaults.topK, 0, 2 ** 31);
  if (!Number.isInteger(topK)) throw unexpected('topK', 'an integer', topK);
  return {
    temperature: within('temperature', options.temperature ?? defaults.temperature, 0, 100),
    topP: within('topP', options.topP ?? defaults.topP, 0, 1),
    topK,
    repetitionPenalty: within('repetitionPenalty', options.repetitionPenalty ?? defaults.repetitionPenalty, 0.01, 100),
    seed,
  };
}

function within(name: string, value: number, low: number, high: number): number {
  if (typeof value !== 'number' || !(value >= low && value <= high))
    throw unexpected(name, `a number from ${low} to ${high}`, value);
  return value;
}
