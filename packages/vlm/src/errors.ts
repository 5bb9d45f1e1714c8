// What goes wrong here, as one class. An aborted call rejects with its signal's reason; a failing kernel with the runtime's RuntimeError.

/**
 * - `FOLDER_INVALID`: the model's folder or one of its files is missing, too large, malformed, or leads out of the folder
 * - `MODEL_UNSUPPORTED`: the folder is well-formed, but holds a model, processor or graph that this package does not run
 * - `INVALID_ARGUMENT`: a message or option is wrong
 * - `IMAGE_INVALID`, `IMAGE_TOO_LARGE`: a picture cannot be decoded; it exceeds a limit
 * - `PROMPT_TOO_LONG`: no room for an answer is left in the model's context
 * - `MODEL_FAILED`: the model gave logits that are not numbers, or its chat template or tokenizer did not come to an end
 * - `DISPOSED`: the model is disposed
 */
export type VlmErrorCode =
  | 'FOLDER_INVALID'
  | 'MODEL_UNSUPPORTED'
  | 'INVALID_ARGUMENT'
  | 'IMAGE_INVALID'
  | 'IMAGE_TOO_LARGE'
  | 'PROMPT_TOO_LONG'
  | 'MODEL_FAILED'
  | 'DISPOSED';

export class VlmError extends Error {
  override readonly name = 'VlmError';
  readonly code: VlmErrorCode;
  /** The argument at fault, as a path such as `messages[2].content[0]` or `topP`. */
  readonly parameter: string | undefined;

  constructor(code: VlmErrorCode, message: string, options: ErrorOptions & { readonly parameter?: string } = {}) {
    super(message, options);
    this.code = code;
    this.parameter = options.parameter;
  }
}

/** `INVALID_ARGUMENT` in one form: which, what was expected, what came. */
export function unexpected(parameter: string, expected: string, got: unknown): VlmError {
  return new VlmError('INVALID_ARGUMENT', `${parameter}: expected ${expected}, got ${show(got)}`, { parameter });
}

/** A value in a message, short whatever it is. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`;
  if (value === null || ['number', 'boolean', 'undefined', 'bigint'].includes(typeof value)) return String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
