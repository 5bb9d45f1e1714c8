// An opened model: answers conversations.
import { unexpected, VlmError } from './errors.js';
import type { AnswerLogprob, Generation, GenerationEvent } from './generation/answer.js';
import type { Engine } from './generation/engine.js';
import { generate } from './generation/generate.js';
import { type GenerationOptions, generationSettings } from './generation/generation-options.js';
import { preparePrompt } from './generation/prepare-prompt.js';
import type { Message } from './messages.js';

export interface GenerationRequest extends Omit<GenerationOptions, 'signal'> {
  readonly messages: readonly Message[];
}

/** Any number of generations may be under way at once; each keeps its own cache. */
export class Vlm {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  readonly #engine: Engine;
  readonly #release: () => Promise<void>;
  #disposed = false;

  /** @param release frees what the engine holds; use openVlm or openVariants */
  constructor(name: string, folder: string, engine: Engine, release: () => Promise<void>) {
    this.name = name;
    this.folder = folder;
    this.contextLength = engine.settings.contextLength;
    this.#engine = engine;
    this.#release = release;
  }

  /**
   * Answers piece by piece. The next token is computed when the next event is asked for; leaving the loop frees everything.
   * @throws VlmError before the first event for a wrong argument or picture; RuntimeError; the signal's reason
   */
  async *stream(messages: readonly Message[], options: GenerationOptions = {}): AsyncGenerator<GenerationEvent, void> {
    this.#checkOpen();
    const settings = generationSettings(options, this.#engine.settings);
    const prompt = await preparePrompt(this.#engine, messages, options.signal);
    for await (const { event } of generate(this.#engine, [{ prompt, settings }], options.signal)) yield event;
  }

  /** Answers at once. @throws as stream() */
  async generate(messages: readonly Message[], options: GenerationOptions = {}): Promise<Generation> {
    const answer = new Collected();
    for await (const event of this.stream(messages, options)) answer.add(event);
    return answer.generation();
  }

  /**
   * Answers several conversations in one batch, shorter prompts padded on the left. Greedy answers are those of single runs, except
   * where two logits are closer than the rounding of another order of summation.
   * @throws as stream(): one wrong request fails the batch
   */
  async generateBatch(
    requests: readonly GenerationRequest[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Generation[]> {
    this.#checkOpen();
    if (!Array.isArray(requests)) throw unexpected('requests', 'an array', requests);
    if (requests.length === 0) return [];
    const prepared = [];
    for (const request of requests as readonly GenerationRequest[]) {
      const settings = generationSettings(request, this.#engine.settings);
      prepared.push({ settings, prompt: await preparePrompt(this.#engine, request.messages, options.signal) });
    }
    const answers = requests.map(() => new Collected());
    for await (const { row, event } of generate(this.#engine, prepared, options.signal)) answers[row]!.add(event);
    return answers.map((answer) => answer.generation());
  }

  /**
   * Refuses new generations and frees the model; those under way fail at their next token. Idempotent. Of a variant, sessions are
   * freed by `VlmVariants.dispose()`.
   */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#release();
  }

  #checkOpen(): void {
    if (this.#disposed) throw new VlmError('DISPOSED', `the model ${this.name} is disposed`);
  }
}

/** The events of one answer, put together. */
class Collected {
  #text = '';
  readonly #logprobs: AnswerLogprob[] = [];
  #end: Omit<Generation, 'text' | 'logprobs'> | undefined;

  add(event: GenerationEvent): void {
    if (event.type === 'text') {
      this.#text += event.text;
      this.#logprobs.push(...event.logprobs);
    } else {
      const { type, ...end } = event;
      this.#end = end;
    }
  }

  generation(): Generation {
    return { text: this.#text, logprobs: this.#logprobs, ...this.#end! };
  }
}
