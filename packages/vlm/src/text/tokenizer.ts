// Text to ids through @huggingface/tokenizers, ids to bytes through the vocabulary.
import { Tokenizer as HfTokenizer } from '@huggingface/tokenizers';
import { VlmError } from '../errors.js';
import type { JsonObject } from '../folder/json-object.js';
import { withTimeLimit } from './time-limit.js';

// Some 5 µs a character.
const ENCODE_LIMIT = 10_000;
const NO_BYTES = new Uint8Array(0);

export class Tokenizer {
  readonly #tokenizer: HfTokenizer;
  readonly #specialIds: ReadonlySet<number>;
  /** No token stands for more bytes of text than this. */
  readonly longestToken: number;

  /**
   * @param file tokenizer.json, with a byte-level decoder as all models of this package have it
   * @param config tokenizer_config.json
   * @throws VlmError FOLDER_INVALID, MODEL_UNSUPPORTED
   */
  constructor(file: JsonObject, config: JsonObject) {
    const decoder = file.optionalObject('decoder');
    if (decoder?.value.type !== 'ByteLevel') {
      throw new VlmError(
        'MODEL_UNSUPPORTED',
        `tokenizer.json: decoder ${String(decoder?.value.type)} is not supported: expected ByteLevel`,
      );
    }
    try {
      this.#tokenizer = withTimeLimit(
        ENCODE_LIMIT,
        'reading tokenizer.json',
        () => new HfTokenizer(file.value, config.value),
      );
      const added = [...this.#tokenizer.get_added_tokens_decoder()];
      const lengths = [...this.#tokenizer.get_vocab().keys()].map((token) => Buffer.byteLength(token));
      this.longestToken = lengths.reduce((longest, length) => Math.max(longest, length), 0);
      this.#specialIds = new Set(added.filter(([, token]) => token.special).map(([id]) => id));
    } catch (cause) {
      if (cause instanceof VlmError) throw cause;
      throw new VlmError('FOLDER_INVALID', `tokenizer.json: ${(cause as Error).message}`, { cause });
    }
  }

  /** @param addSpecialTokens whether the tokenizer's post-processor adds its own, such as one that begins a text */
  encode(text: string, addSpecialTokens: boolean): number[] {
    return withTimeLimit(
      ENCODE_LIMIT,
      'the tokenizer',
      () => this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids,
    );
  }

  idOf(token: string): number | undefined {
    return this.#tokenizer.token_to_id(token);
  }

  tokenOf(id: number): string | undefined {
    return this.#tokenizer.id_to_token(id);
  }

  /** The bytes that a token adds to the text: none for a special token or an id without one. */
  bytesOf(id: number): Uint8Array {
    const token = this.#specialIds.has(id) ? undefined : this.tokenOf(id);
    return token === undefined ? NO_BYTES : byteLevelBytes(token);
  }
}

/** tokenizers' ByteLevel decoder: each character is one byte; a token with any other character is itself, in UTF-8. */
function byteLevelBytes(token: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTE_OF_CHARACTER.get(character);
    if (byte === undefined) return Buffer.from(token, 'utf8');
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** GPT-2's alphabet: visible Latin-1 characters are their own byte, the other bytes follow from U+0100 on. */
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = (() => {
  const visible = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(visible(byte) ? byte : next++), byte] as const),
  );
})();
