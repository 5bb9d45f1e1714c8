import type { Schema } from './schema.js';

/** The bytes that a message was decoded from: one range, or several when the file holds the message in parts. */
export interface Source {
  readonly buffer: Uint8Array;
  readonly schema: Schema<object>;
  /** Start and end offsets in `buffer`, in pairs. */
  readonly ranges: readonly number[];
}

/** What all messages of one kind in one file have in common. */
export interface Origin {
  readonly buffer: Uint8Array;
  readonly schema: Schema<object>;
}

// Messages stay plain objects: the source rides along as private fields, stamped on from outside. They cannot be seen,
// enumerated or copied by a spread, and go with the message; a WeakMap does the same at several times the cost. Plain
// fields rather than a Source object: a model of a million messages is made of little else.
class Stampable {
  constructor(message: object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is what makes the subclass's private fields land on `message`
    return message;
  }
}

/**
 * Ranges after the first of the few messages that come in parts. Not one more field of each message: V8 makes room for
 * three at a time.
 */
const furtherRanges = new WeakMap<object, number[]>();

class Stamp extends Stampable {
  #origin: Origin;
  #start: number;
  #end: number;

  private constructor(message: object, origin: Origin, start: number, end: number) {
    super(message);
    this.#origin = origin;
    this.#start = start;
    this.#end = end;
  }

  static add(message: object, origin: Origin, start: number, end: number): number {
    if (!(#origin in message)) {
      new Stamp(message, origin, start, end);
      return 1;
    }
    const further = furtherRanges.get(message) ?? [];
    further.push(start, end);
    furtherRanges.set(message, further);
    return 1 + further.length / 2;
  }

  static get(message: object): Source | undefined {
    if (!(#origin in message)) return undefined;
    const { buffer, schema } = message.#origin;
    return { buffer, schema, ranges: [message.#start, message.#end, ...(furtherRanges.get(message) ?? [])] };
  }

  static covers(message: object, buffer: Uint8Array, start: number, end: number): boolean {
    if (!(#origin in message) || message.#origin.buffer !== buffer) return false;
    if (message.#start === start && message.#end === end) return true;
    const further = furtherRanges.get(message);
    return further?.some((from, index) => index % 2 === 0 && from === start && further[index + 1] === end) === true;
  }
}

/** Remembers where a message, or another part of it, was decoded from. Returns the number of parts so far. */
export const addSource = Stamp.add;

/** Where `message` was decoded from; undefined for messages made by hand. */
export const sourceOf = Stamp.get;

/** Whether `message`, or a part of it, was decoded from this range. */
export const hasSource = Stamp.covers;
