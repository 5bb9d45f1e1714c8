/** Sessions of a verification: opened one after another, each closed before the next large one is opened. */

import { dirname } from 'node:path';
import { createSession, RuntimeError, type Session, type SessionOptions } from '@ort-dora/runtime';
import { VerifyError } from './error.js';
import type { Execution } from './result.js';
import { isElementType, type TensorData } from './tensor.js';

export interface SessionSettings {
  readonly signal?: AbortSignal | undefined;
  readonly intraOpNumThreads?: number | undefined;
}

/** A model to run: its file, or an edited copy in memory whose external data lie in `folder`. */
export type Runnable =
  | { readonly path: string }
  | { readonly bytes: Uint8Array; readonly label: string; readonly folder: string };

export const inMemory = (bytes: Uint8Array, label: string, path: string): Runnable => ({
  bytes,
  label,
  folder: dirname(path),
});

/**
 * Opens a session, gives it to `use`, and closes it.
 *
 * @throws VerifyError CANNOT_RUN if the model cannot be loaded
 */
export async function withSession<T>(
  model: Runnable,
  execution: Execution,
  settings: SessionSettings,
  use: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await open(model, execution, settings);
  try {
    return await use(session);
  } finally {
    await session.dispose();
  }
}

async function open(model: Runnable, execution: Execution, settings: SessionSettings): Promise<Session> {
  const options: SessionOptions = {
    customOps: execution === 'library' ? 'auto' : 'off',
    symbolicDims: 'ignore',
    // What ONNX Runtime warns of is the models' own business; errors come as exceptions.
    logSeverityLevel: 3,
    ...(settings.signal && { signal: settings.signal }),
    ...(settings.intraOpNumThreads !== undefined && { intraOpNumThreads: settings.intraOpNumThreads }),
  };
  // The library's own kernels, also where the runtime would leave an operator to its body: that one runs without the library.
  const kernels = { 'ort_dora.body': '' };
  try {
    if ('path' in model) return await createSession(model.path, { ...options, configEntries: kernels });
    const configEntries = { ...kernels, 'session.model_external_initializers_file_folder_path': model.folder };
    return await createSession(model.bytes, { ...options, configEntries });
  } catch (cause) {
    throw cannotRun('path' in model ? model.path : model.label, 'cannot be loaded', cause);
  }
}

/** Numeric outputs of a run by name; others (strings, sequences) are left out. */
export async function runSession(
  session: Session,
  feeds: ReadonlyMap<string, TensorData>,
  settings: SessionSettings,
  label: string,
): Promise<Map<string, TensorData>> {
  let results: Awaited<ReturnType<Session['run']>>;
  try {
    results = await session.run(Object.fromEntries(feeds), settings.signal ? { signal: settings.signal } : {});
  } catch (cause) {
    throw cannotRun(label, 'cannot be run', cause);
  }
  const numeric = new Map<string, TensorData>();
  for (const [name, value] of Object.entries(results)) {
    if ('data' in value && isElementType(value.type)) numeric.set(name, value as TensorData);
  }
  return numeric;
}

function cannotRun(label: string, what: string, cause: unknown): unknown {
  if (!(cause instanceof RuntimeError)) return cause;
  return new VerifyError('CANNOT_RUN', `${label} ${what}: ${cause.message}`, { cause });
}
