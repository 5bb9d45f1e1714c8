// One answer under way: logits in, events out.

import { type Candidate, logprobs } from '../sampling/logprobs.js';
import { Sampler } from '../sampling/sampler.js';
import type { AnswerLogprob, FinishReason, GenerationEvent, TextEvent, Timings, TokenLogprob } from './answer.js';
import { AnswerText } from './answer-text.js';
import type { Engine } from './engine.js';
import type { GenerationSettings } from './generation-options.js';
import type { PreparedPrompt } from './prepare-prompt.js';

export class AnswerRow {
  readonly #engine: Engine;
  readonly #settings: GenerationSettings;
  readonly #promptTokens: number;
  readonly #maxTokens: number;
  readonly #sampler: Sampler;
  readonly #text: AnswerText;
  readonly #tokens: number[] = [];
  /** Log-probabilities of tokens whose text is not out yet, with where it begins and ends. */
  #pending: { readonly logprob: AnswerLogprob; readonly start: number; readonly end: number }[] = [];
  #finished = false;

  constructor(engine: Engine, prompt: PreparedPrompt, settings: GenerationSettings) {
    this.#engine = engine;
    this.#settings = settings;
    this.#promptTokens = prompt.ids.length;
    this.#maxTokens = Math.min(settings.maxTokens, engine.settings.contextLength - prompt.ids.length);
    this.#sampler = new Sampler(settings.sampling, engine.settings.suppressedIds, prompt.ids);
    this.#text = new AnswerText(engine.tokenizer, settings.stops);
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** The token to run next; the padding once the answer is finished. */
  get lastToken(): number {
    return this.#finished ? this.#engine.settings.padId : this.#tokens.at(-1)!;
  }

  /** Chooses the next token. @param logits changed by the call; @param timings so far */
  push(logits: Float32Array, timings: Timings): GenerationEvent[] {
    const raw = this.#settings.logprobs === undefined ? undefined : logits.slice();
    const id = this.#sampler.next(logits);
    this.#tokens.push(id);
    if (this.#engine.settings.endIds.has(id)) return this.#finish('stop', this.#text.end(), timings);
    const start = this.#text.length;
    const { text, stopped } = this.#text.push(id);
    if (raw !== undefined) this.#pending.push({ logprob: this.#logprob(raw, id), start, end: this.#text.length });
    if (stopped) return this.#finish('stop', text, timings);
    if (this.#tokens.length === this.#maxTokens) return this.#finish('length', text + this.#text.end(), timings);
    return this.#textEvent(
      text,
      this.#release(({ end }) => end <= this.#text.releasedLength),
    );
  }

  #finish(finishReason: FinishReason, text: string, timings: Timings): GenerationEvent[] {
    this.#finished = true;
    const usage = { promptTokens: this.#promptTokens, completionTokens: this.#tokens.length };
    const { seed } = this.#settings.sampling;
    const rest = this.#textEvent(
      text,
      this.#release(({ start }) => start < this.#text.releasedLength),
    );
    return [...rest, { type: 'end', finishReason, usage, tokens: this.#tokens, seed, timings }];
  }

  #textEvent(text: string, logprobs: readonly AnswerLogprob[]): TextEvent[] {
    return text === '' && logprobs.length === 0 ? [] : [{ type: 'text', text, logprobs }];
  }

  #release(isOut: (token: { readonly start: number; readonly end: number }) => boolean): AnswerLogprob[] {
    const held = this.#pending.findIndex((token) => !isOut(token));
    return this.#pending.splice(0, held < 0 ? this.#pending.length : held).map(({ logprob }) => logprob);
  }

  #logprob(logits: Float32Array, id: number): AnswerLogprob {
    const { likeliest, ...chosen } = logprobs(logits, id, this.#settings.logprobs ?? 0);
    return { ...this.#described(chosen), alternatives: likeliest.map((candidate) => this.#described(candidate)) };
  }

  #described({ id, logprob }: Candidate): TokenLogprob {
    const bytes = this.#engine.tokenizer.bytesOf(id);
    return { id, text: new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes), bytes, logprob };
  }
}
