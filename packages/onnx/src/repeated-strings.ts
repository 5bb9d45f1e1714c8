import type { Reader } from './wire.js';

/** At most so many strings are remembered (a power of two), and one for so many bytes of a file. */
const MAX_SLOTS = 1 << 16;
const BYTES_PER_SLOT = 64;
/** Of longer strings so many bytes, evenly spread, choose the slot. */
const HASHED_BYTES = 64;

/**
 * Reads string fields, and gives the string it made before where the same bytes come again. Exporters write the module
 * path, class names and stack trace of every node, mostly the same again and again: of a large model they can be more than
 * everything else. Strings that fall into one slot push each other out, so memory and time are bounded for any file.
 */
export class RepeatedStrings {
  readonly #buffer: Buffer;
  readonly #strings: string[];
  readonly #starts: Uint32Array;
  readonly #lengths: Uint32Array;

  /** @param buffer what the readers given to {@link read} read from */
  constructor(buffer: Uint8Array) {
    this.#buffer = Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    const slots = Math.min(MAX_SLOTS, 2 ** Math.ceil(Math.log2(buffer.length / BYTES_PER_SLOT + 1)));
    this.#strings = new Array(slots);
    this.#starts = new Uint32Array(slots);
    this.#lengths = new Uint32Array(slots);
  }

  /** The string field at the reader's position, behind its tag. */
  read(reader: Reader): string {
    const before = reader.pos;
    const length = reader.size();
    const start = reader.pos;
    if (length === 0) return '';
    // Left to protobufjs: what is too long for the message, which it refuses.
    if (length > reader.len - start) {
      reader.pos = before;
      return reader.string();
    }
    const slot = this.#slot(start, length);
    const known = this.#starts[slot]!;
    if (
      this.#lengths[slot] === length &&
      this.#buffer.compare(this.#buffer, known, known + length, start, start + length) === 0
    ) {
      reader.pos = start + length;
      return this.#strings[slot]!;
    }
    reader.pos = before;
    const text = reader.string();
    this.#strings[slot] = text;
    this.#starts[slot] = start;
    this.#lengths[slot] = length;
    return text;
  }

  #slot(start: number, length: number): number {
    const step = Math.max(1, length / HASHED_BYTES);
    let hash = length;
    for (let at = 0; at < length; at += step)
      hash = Math.imul(hash ^ this.#buffer[start + Math.floor(at)]!, 0x01000193);
    return (hash ^ (hash >>> 16)) & (this.#strings.length - 1);
  }
}
