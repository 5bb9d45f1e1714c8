// What goes wrong here, as one class. An aborted call rejects with its signal's reason instead, as fetch() does.

/**
 * - `INVALID_ARGUMENT`: an option, feed or fetch is wrong; the message names it, what was expected and what came
 * - `MODEL_NOT_FOUND`, `MODEL_LOAD_FAILED`: the file is not there; it is damaged, or needs an operator that nobody has
 * - `OPS_LIBRARY_FAILED`: a library of custom operators cannot be loaded or registered
 * - `PROVIDER_UNAVAILABLE`: this ONNX Runtime lacks the execution provider or the device
 * - `RUN_FAILED`: a kernel failed
 * - `DISPOSED`: the session or tensor is disposed
 * - `NOT_SUPPORTED`: the runtime in use cannot do it (see `Session.backend`)
 * - `ADDON_UNAVAILABLE`: the native addon was required and cannot be used
 */
export type RuntimeErrorCode =
  | 'INVALID_ARGUMENT'
  | 'MODEL_NOT_FOUND'
  | 'MODEL_LOAD_FAILED'
  | 'OPS_LIBRARY_FAILED'
  | 'PROVIDER_UNAVAILABLE'
  | 'RUN_FAILED'
  | 'DISPOSED'
  | 'NOT_SUPPORTED'
  | 'ADDON_UNAVAILABLE';

/** ONNX Runtime's own status, where it failed: its code (as in onnxruntime_c_api.h, without `ORT_`) and message. */
export interface OrtStatus {
  readonly code: string;
  readonly message: string;
}

export class RuntimeError extends Error {
  override readonly name = 'RuntimeError';
  readonly code: RuntimeErrorCode;
  readonly ort: OrtStatus | undefined;

  constructor(code: RuntimeErrorCode, message: string, options: ErrorOptions & { readonly ort?: OrtStatus } = {}) {
    super(message, options);
    this.code = code;
    this.ort = options.ort;
  }
}

export function invalidArgument(message: string): RuntimeError {
  return new RuntimeError('INVALID_ARGUMENT', message);
}

/** `INVALID_ARGUMENT` in one form: what is wrong, what was expected, what came. */
export function unexpected(parameter: string, expected: string, got: unknown): RuntimeError {
  return invalidArgument(`${parameter}: expected ${expected}, got ${show(got)}`);
}

/** What the native layer throws: `code` is a RuntimeErrorCode or ABORTED; `ortCode` is there if ONNX Runtime failed (native/errors.h). */
interface NativeError extends Error {
  readonly code: RuntimeErrorCode | 'ABORTED';
  readonly ortCode?: string;
}

/** The error for callers: an aborted job has its signal's reason; what did not come from the native layer is left as it is. */
export function fromNative(error: unknown, context: string, signal?: AbortSignal): unknown {
  if (!isNativeError(error)) return error;
  if (error.code === 'ABORTED') return signal?.reason ?? error;
  const { code, ortCode, message } = error;
  return new RuntimeError(code, `${context}: ${message}`, {
    cause: error,
    ...(ortCode !== undefined && { ort: { code: ortCode, message } }),
  });
}

const NATIVE_CODES: ReadonlySet<unknown> = new Set<NativeError['code']>([
  'ABORTED',
  'INVALID_ARGUMENT',
  'MODEL_NOT_FOUND',
  'MODEL_LOAD_FAILED',
  'OPS_LIBRARY_FAILED',
  'PROVIDER_UNAVAILABLE',
  'RUN_FAILED',
  'DISPOSED',
  'NOT_SUPPORTED',
]);

function isNativeError(error: unknown): error is NativeError {
  return (
    error instanceof Error && !(error instanceof RuntimeError) && NATIVE_CODES.has((error as { code?: unknown }).code)
  );
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 80 ? `${value.slice(0, 80)}…` : value}'`;
  if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean')
    return `${value}`;
  if (typeof value === 'bigint') return `${value}n`;
  if (Array.isArray(value)) return value.length > 8 ? `an array of ${value.length}` : `[${value.map(show).join(', ')}]`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'symbol') return 'a symbol';
  return `an object of class ${value.constructor?.name ?? 'null'}`;
}
