/** What a model writes, as a chat completion or as the chunks of one. */
import type { AnswerLogprob, Generation, GenerationEvent, TokenLogprob, Usage } from '@ort-dora/vlm';
import type { ChatCompletion, ChatCompletionChunk } from './schema.js';

export interface AnswerHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly logprobs: boolean;
  /** A last chunk with the usage (`stream_options.include_usage`). */
  readonly includeUsage: boolean;
}

export class AnswerForm {
  readonly #head: Pick<AnswerHead, 'id' | 'created' | 'model'>;
  readonly #logprobs: boolean;
  readonly #includeUsage: boolean;

  constructor({ logprobs, includeUsage, ...head }: AnswerHead) {
    this.#head = head;
    this.#logprobs = logprobs;
    this.#includeUsage = includeUsage;
  }

  completion({ text, logprobs, finishReason, usage }: Generation): ChatCompletion {
    const message = { role: 'assistant' as const, content: text, refusal: null };
    const choice = { index: 0, message, logprobs: this.#logprobsOf(logprobs), finish_reason: finishReason };
    return { ...this.#head, object: 'chat.completion', choices: [choice], usage: usageOf(usage) };
  }

  firstChunk(): ChatCompletionChunk {
    return this.#chunk([{ index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null }]);
  }

  *chunks(event: GenerationEvent): Generator<ChatCompletionChunk, void> {
    if (event.type === 'text') {
      const logprobs = this.#logprobsOf(event.logprobs);
      yield this.#chunk([{ index: 0, delta: { content: event.text }, logprobs, finish_reason: null }]);
      return;
    }
    yield this.#chunk([{ index: 0, delta: {}, logprobs: null, finish_reason: event.finishReason }]);
    if (this.#includeUsage) yield { ...this.#chunk([]), usage: usageOf(event.usage) };
  }

  #chunk(choices: ChatCompletionChunk['choices']): ChatCompletionChunk {
    const usage = this.#includeUsage ? { usage: null } : {};
    return { ...this.#head, object: 'chat.completion.chunk', choices, ...usage };
  }

  #logprobsOf(logprobs: readonly AnswerLogprob[]): ChatCompletion['choices'][number]['logprobs'] {
    if (!this.#logprobs) return null;
    return {
      content: logprobs.map((token) => ({ ...logprobOf(token), top_logprobs: token.alternatives.map(logprobOf) })),
    };
  }
}

function logprobOf({ text, bytes, logprob }: TokenLogprob): { token: string; bytes: number[]; logprob: number } {
  return { token: text, bytes: [...bytes], logprob };
}

function usageOf({ promptTokens, completionTokens }: Usage): ChatCompletion['usage'] {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}
