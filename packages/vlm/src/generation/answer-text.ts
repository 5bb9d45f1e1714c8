// The text of an answer, token by token: whole characters only, and never a part of a stop string.
import { type Released, StopStrings } from '../text/stop-strings.js';
import type { Tokenizer } from '../text/tokenizer.js';

export class AnswerText {
  readonly #tokenizer: Tokenizer;
  readonly #stops: StopStrings;
  // Holds an incomplete character back; what can be none becomes U+FFFD, as in tokenizers.
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #length = 0;
  #released = 0;

  constructor(tokenizer: Tokenizer, stops: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#stops = new StopStrings(stops);
  }

  /** Characters (UTF-16 units) of all tokens so far. */
  get length(): number {
    return this.#length;
  }

  /** Characters that are out. */
  get releasedLength(): number {
    return this.#released;
  }

  /** What the token lets out, and whether a stop string ended the answer. */
  push(id: number): Released {
    return this.#release(this.#decoder.decode(this.#tokenizer.bytesOf(id), { stream: true }));
  }

  /** The rest, when no more tokens come. */
  end(): string {
    const { text, stopped } = this.#release(this.#decoder.decode());
    if (stopped) return text;
    const rest = this.#stops.flush();
    this.#released += rest.length;
    return text + rest;
  }

  #release(decoded: string): Released {
    this.#length += decoded.length;
    const released = this.#stops.push(decoded);
    this.#released += released.text.length;
    return released;
  }
}
