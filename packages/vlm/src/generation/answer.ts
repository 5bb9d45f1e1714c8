// What comes back: text as it is written, and at the end why it ended, what it used, and how long it took.

/** `stop`: the model ended its answer, or a stop string appeared. `length`: maxTokens or the context was used up. */
export type FinishReason = 'stop' | 'length';

export interface Usage {
  /** Tokens of the prompt, those of its pictures included. */
  readonly promptTokens: number;
  /** Tokens generated, the one that ended the answer included. */
  readonly completionTokens: number;
}

export interface TokenLogprob {
  readonly id: number;
  /** The token's own text; U+FFFD for a part of a character. */
  readonly text: string;
  /** The token's own bytes, of UTF-8. */
  readonly bytes: Uint8Array;
  /** Natural logarithm, before temperature and the like. */
  readonly logprob: number;
}

export interface AnswerLogprob extends TokenLogprob {
  /** The likeliest first. */
  readonly alternatives: readonly TokenLogprob[];
}

/** In milliseconds. In a batch, those of the batch. */
export interface Timings {
  /** Decoding, resizing and tokenising. */
  readonly prepare: number;
  /** The vision encoder. */
  readonly vision: number;
  /** The decoder over the prompt, up to the first token. */
  readonly prefill: number;
  /** All further tokens. */
  readonly decode: number;
}

/** A piece of the answer: whole characters, none of which is part of a stop string. */
export interface TextEvent {
  readonly type: 'text';
  readonly text: string;
  /** Of the tokens whose text this piece completes; empty unless asked for. */
  readonly logprobs: readonly AnswerLogprob[];
}

export interface EndEvent {
  readonly type: 'end';
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  /** The ids generated, the one that ended the answer included. */
  readonly tokens: readonly number[];
  /** That of the sampling: given again, it gives the same answer. */
  readonly seed: number;
  readonly timings: Timings;
}

/** Any number of text events, then one end event. */
export type GenerationEvent = TextEvent | EndEvent;

/** A whole answer. */
export interface Generation extends Omit<EndEvent, 'type'> {
  readonly text: string;
  readonly logprobs: readonly AnswerLogprob[];
}
