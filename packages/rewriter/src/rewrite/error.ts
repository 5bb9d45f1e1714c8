/** A rewrite that cannot be done as asked. `code` is for programs, `message` for people. */
export class RewriteError extends Error {
  override readonly name = 'RewriteError';

  constructor(
    readonly code: RewriteErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export type RewriteErrorCode =
  /** The output is the input. */
  | 'same-file'
  /** The place of the output is taken by something else. */
  | 'exists'
  /** The model's opset is older than the function bodies are written for. */
  | 'opset'
  /** `--scale stored` where g depends on what is no constant. */
  | 'scale'
  /** Modules of an adapter that are not found in a base export, or not for sure. */
  | 'targets'
  /** Something in an adapter or a base export that cannot be attached. */
  | 'attach'
  /** An adapter that cannot be read back from a model. */
  | 'extract'
  /** The computation of a norm returned something else than g. */
  | 'norm';
