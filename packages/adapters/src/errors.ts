/**
 * Every failure of this package that a folder can cause. `code` is for programs, `message` for people: where, what is
 * wrong, and what to do about it.
 */
export class AdapterError extends Error {
  override readonly name = 'AdapterError';

  constructor(
    /** What went wrong; stable, see {@link AdapterErrorCode}. */
    readonly code: AdapterErrorCode,
    /** The file or folder concerned. */
    readonly where: string,
    what: string,
    options: { readonly todo?: string; readonly cause?: unknown } = {},
  ) {
    const message = [`${printable(where)}: ${printable(what)}`, options.todo].filter(Boolean).join('; ');
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
  }
}

export type AdapterErrorCode =
  /** The file system said no: missing, not readable, not writable, full. */
  | 'io'
  /** A file that leads out of the adapter's folder, or is none. */
  | 'path'
  /** A safetensors file that breaks its format. */
  | 'malformed'
  /** Elements of a type that adapters are not read in. */
  | 'dtype'
  /** An adapter_config.json that is not what PEFT writes. */
  | 'config'
  /** A kind of adapter, or an option of LoRA, that is none of ours. */
  | 'unsupported'
  /** A regular expression of rank_pattern or alpha_pattern that cannot be evaluated in bounded time. */
  | 'pattern'
  /** Tensors that are missing, unknown, or do not fit one another or the config. */
  | 'tensors'
  /** The layout of a bank that is not what `formatBankLayout` writes, or an adapter that has no room in it. */
  | 'bank'
  /** The place of an adapter to be written is taken. */
  | 'exists';

const LONGEST = 600;

/** Names in messages come from files: no control characters for the terminal, no megabytes, one line. */
function printable(text: string): string {
  const short = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  return short.replace(
    /\p{Cc}|\p{Cf}|[\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** A file system error as an AdapterError of code `io`. */
export function ioError(cause: unknown, where: string, what: string): AdapterError {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  const reason = REASONS[code ?? ''] ?? (cause instanceof Error ? cause.message : String(cause));
  return new AdapterError('io', where, `${what}: ${reason}`, { cause });
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EISDIR: 'it is a folder',
  ENOTDIR: 'it is not a folder',
  ENOSPC: 'no space is left on the device',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EMFILE: 'too many files are open',
  ELOOP: 'it is a link, or a loop of links',
  ENAMETOOLONG: 'the name is too long',
};
