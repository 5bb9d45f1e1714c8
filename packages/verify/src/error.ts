/** Why a verification could not be carried out. A verification that was carried out and failed is a result, not an error. */
export type VerifyErrorCode =
  /** A file of given inputs that is not what it says it is, or too large. */
  | 'BAD_INPUT_FILE'
  /** Inputs given or generated that do not fit the model. */
  | 'BAD_INPUTS'
  /** The two models do not take and give the same tensors. */
  | 'DIFFERENT_INTERFACE'
  /** A model that cannot be opened or run. */
  | 'CANNOT_RUN'
  /** What is said of a module does not fit the graph or its weights. */
  | 'BAD_MODULE';

/** Says what is wrong, where, and what to do about it. */
export class VerifyError extends Error {
  override readonly name = 'VerifyError';
  readonly code: VerifyErrorCode;

  constructor(code: VerifyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
