/**
 * Every failure of this package that an input can cause. `code` is for programs, `message` for people:
 * what is wrong, where, and what to do about it.
 */
export class OnnxError extends Error {
  override readonly name = 'OnnxError';

  constructor(
    /** What went wrong; stable, see {@link OnnxErrorCode}. */
    readonly code: OnnxErrorCode,
    what: string,
    /** Where: file, place in the model, byte offset; whatever of it is known. */
    readonly where: OnnxErrorPlace = {},
    options: { readonly todo?: string; readonly cause?: unknown } = {},
  ) {
    const parts = [describePlace(where), printable(what)].filter((part) => part !== '').join(': ');
    const message = options.todo === undefined ? parts : `${parts}; ${options.todo}`;
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.#what = what;
    this.#options = options;
  }

  readonly #what: string;
  readonly #options: { readonly todo?: string; readonly cause?: unknown };

  /** The same error with more said about the place (a decoder knows the offset, its caller the file). */
  at(where: OnnxErrorPlace): OnnxError {
    return new OnnxError(this.code, this.#what, { ...where, ...this.where }, this.#options);
  }
}

/** The place of an error. */
export interface OnnxErrorPlace {
  /** The file being read or written. */
  readonly file?: string;
  /** Path in the model, in the names of onnx.proto's messages as this package spells them: `graph.node[3].input[0]`. */
  readonly path?: string;
  /** Byte offset in the file. */
  readonly offset?: number;
}

export type OnnxErrorCode =
  /** Not protobuf, or cut off, or a length that leaves its message. */
  | 'malformed'
  /** Deeper, larger or more numerous than the limits given. */
  | 'limit'
  /** A file of 2 GiB or more: protobuf has no such messages. */
  | 'too-large'
  /** A value that cannot be stored in its field, on encoding. */
  | 'invalid-value'
  /** A model without a graph. */
  | 'no-graph'
  /** No version imported for a domain in use. */
  | 'no-opset'
  /** A node, attribute, tensor or value without what the format requires of it. */
  | 'invalid-node'
  | 'invalid-attribute'
  | 'invalid-tensor'
  | 'invalid-type'
  | 'invalid-function'
  | 'invalid-name'
  /** One name, two definitions (ONNX graphs are in single-assignment form). */
  | 'duplicate-name'
  /** A name that is read but never defined. */
  | 'dangling-name'
  /** Nodes that depend on themselves, or functions that call themselves. */
  | 'cycle'
  /** Nodes that read what only a later node computes. */
  | 'not-sorted'
  /** External data outside the model's folder, or at an impossible offset or length. */
  | 'external-path'
  | 'external-range'
  /** A tensor whose elements are not where the caller looks for them. */
  | 'no-data'
  /** The file system said no: missing, not readable, not writable, full. */
  | 'io';

const LONGEST = 400;

/** Names in messages come from the file: no control characters for the terminal, no megabytes, one line. */
function printable(text: string): string {
  const short = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  return short.replace(/\p{Cc}|\p{Cf}/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}

function describePlace(where: OnnxErrorPlace): string {
  const parts: string[] = [];
  if (where.file !== undefined) parts.push(where.file);
  if (where.path !== undefined && where.path !== '') parts.push(where.path);
  if (where.offset !== undefined) parts.push(`byte ${where.offset}`);
  return parts.join(', ');
}
