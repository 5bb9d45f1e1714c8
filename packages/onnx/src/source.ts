import type { Schema } from './schema.js';

/** The bytes that a message was decoded from: one range, or several when the file holds the message in parts. */
export interface Source {
  readonly buffer: Uint8Array;
  readonly schema: Schema<object>;
  /** Start and end offsets in `buffer`, in pairs. */
  readonly ranges: number[];
}

// Messages stay plain objects: the source rides along as a private field, stamped on from outside. It cannot be seen,
// enumerated or copied by a spread, and is collected with the message; a WeakMap does the same at several times the cost.
class Stampable {
  constructor(message: object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is what makes the subclass's private field land on `message`
    return message;
  }
}

class Stamp extends Stampable {
  #source: Source;

  private constructor(message: object, source: Source) {
    super(message);
    this.#source = source;
  }

  static set(message: object, source: Source): void {
    if (#source in message) message.#source = source;
    else new Stamp(message, source);
  }

  static get(message: object): Source | undefined {
    return #source in message ? message.#source : undefined;
  }
}

export const rememberSource = Stamp.set;

/** Where `message` was decoded from; undefined for messages made by hand. */
export const sourceOf = Stamp.get;
