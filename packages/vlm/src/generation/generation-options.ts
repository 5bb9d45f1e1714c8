// What a caller may ask of an answer.
import { unexpected } from '../errors.js';
import type { ModelSettings } from '../folder/model-settings.js';
import { type SamplingOptions, type SamplingSettings, samplingSettings } from '../sampling/sampling-options.js';

export interface GenerationOptions extends SamplingOptions {
  /** Default 512; less where the context ends earlier. */
  readonly maxTokens?: number;
  /** At most 16 strings; the answer ends before the first that appears. */
  readonly stop?: string | readonly string[];
  /** Log-probabilities of the tokens, with so many alternatives each (0 … 20). Default: none. */
  readonly logprobs?: number;
  /** Ends the generation: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface GenerationSettings {
  readonly maxTokens: number;
  readonly stops: readonly string[];
  readonly logprobs: number | undefined;
  readonly sampling: SamplingSettings;
}

/** @throws VlmError INVALID_ARGUMENT naming the option, what was expected and what came */
export function generationSettings(options: GenerationOptions, { defaults }: ModelSettings): GenerationSettings {
  const { maxTokens = 512, stop = [], logprobs } = options;
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    throw unexpected('maxTokens', 'an integer of at least 1', maxTokens);
  const stops = typeof stop === 'string' ? [stop] : stop;
  const fits = (text: unknown) => typeof text === 'string' && text.length > 0 && text.length <= 1024;
  if (!Array.isArray(stops) || stops.length > 16 || !stops.every(fits)) {
    throw unexpected('stop', 'at most 16 strings of 1 to 1024 characters', stop);
  }
  if (logprobs !== undefined && !(Number.isInteger(logprobs) && logprobs >= 0 && logprobs <= 20)) {
    throw unexpected('logprobs', 'an integer from 0 to 20', logprobs);
  }
  return { maxTokens, stops, logprobs, sampling: samplingSettings(options, defaults) };
}
