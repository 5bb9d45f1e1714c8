// Sessions: a loaded model that runs.
import { basename } from 'node:path';
import { AddonSession } from './addon-session.js';
import type { BoundRun } from './bound-run.js';
import { BODY_ENTRY, operatorsLeftToBodies } from './cpu-bodies.js';
import { describeCuda } from './cuda/describe-cuda.js';
import { type Backend, usesAddon } from './engine.js';
import { invalidArgument, RuntimeError, unexpected } from './errors.js';
import type { NativeTensor } from './native-tensor.js';
import { resolveOpsLibraries } from './ops-libraries.js';
import { type CheckedOptions, checkSessionOptions, type SessionOptions } from './session-options.js';
import { StockSession } from './stock-session.js';
import type { TensorData, Value, ValueInfo } from './values.js';

export type Feeds = Readonly<Record<string, Value>>;

/**
 * The outputs to compute: their names; or, by name, `true` for data, `native` for a NativeTensor, or a tensor to write into
 * (with exactly the dims that come out).
 */
export type Fetches = readonly string[] | Readonly<Record<string, true | 'native' | Value>>;

export interface RunOptions<F extends Fetches = Fetches> {
  /** Default: every output, as data. */
  readonly fetches?: F;
  /** Where `native` outputs are wanted: `cpu` or `cuda:N`. Default: on the GPU of a session that has one. */
  readonly device?: string;
  /** Aborts the run between two kernels. `runSync` looks at it once, before it starts. */
  readonly signal?: AbortSignal;
  /** Entries of onnxruntime_run_options_config_keys.h. */
  readonly configEntries?: Readonly<Record<string, string>>;
  readonly tag?: string;
  readonly logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
}

export type Results = Record<string, Value>;

export type BoundTensors = Readonly<Record<string, NativeTensor>>;

export interface BindOptions {
  /**
   * Whether the first run is captured in a CUDA graph that the others replay, which takes the cost of launching away. What the model reads
   * on the CPU is as it was at the first run. A graph lives as long as the session.
   */
  readonly graph?: boolean;
}

/** Any number of runs may be in flight at once. */
export interface Session {
  readonly backend: Backend;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];

  /**
   * Runs off the event loop (on stock onnxruntime-node: on it). Inputs of 16 KB and more are read in place, so they must not change
   * before the run has ended, and their ArrayBuffers can no longer be transferred to another thread. Outputs of that size are views of
   * the runtime's memory.
   * @throws RuntimeError; the signal's reason once it is aborted
   */
  run(feeds: Feeds, options?: RunOptions<readonly string[]>): Promise<Record<string, TensorData>>;
  run(feeds: Feeds, options: RunOptions): Promise<Results>;

  /** The same on the calling thread: for runs that take less time than a thread switch (some 50 µs), and for workers. */
  runSync(feeds: Feeds, options?: RunOptions<readonly string[]>): Record<string, TensorData>;
  runSync(feeds: Feeds, options: RunOptions): Results;

  /**
   * Fixes the memory of every input and of the outputs wanted, for runs that follow one another: nothing is allocated or looked up any
   * more. Each tensor must be on the device where the model has it, with exactly the dims of the run.
   * @throws RuntimeError INVALID_ARGUMENT naming the input or output; for `graph` where the session has no CUDA graphs
   */
  bind(feeds: BoundTensors, fetches: BoundTensors, options?: BindOptions): BoundRun;

  /** Ends the profiling that `profileFilePrefix` turned on and returns the file's path. */
  endProfiling(): string;

  /** Refuses new runs, waits for those in flight, and frees the model. Idempotent. Outputs stay valid. */
  dispose(): Promise<void>;
}

/**
 * Loads a model, off the event loop where the addon does it.
 * @param model a path; or the bytes of a model without external data, which must not change until the promise settles
 * @throws RuntimeError; the signal's reason once it is aborted
 */
export async function createSession(model: string | Uint8Array, options: SessionOptions = {}): Promise<Session> {
  const checked = checkSessionOptions(options);
  if (!(model instanceof Uint8Array) && typeof model !== 'string')
    throw unexpected('model', 'a path or a Uint8Array', model);
  if (model.length === 0) throw unexpected('model', 'a path or the bytes of a model', 'an empty one');
  if (typeof model === 'string' && model.includes('\0'))
    throw unexpected('model', 'a path without a null character', model);
  if (typeof model !== 'string') checkBytes(model, checked.configEntries);
  options.signal?.throwIfAborted();
  const customOps = options.customOps ?? 'auto';
  const cuda = checked.providers?.some(({ name }) => name === 'cuda') ?? false;
  if (cuda && usesAddon()) requireCuda();
  const opsLibraries = resolveOpsLibraries(customOps, cuda ? 'cuda' : 'cpu');
  const config =
    customOps === 'auto' && opsLibraries.length > 0 ? await withBodies(checked, model, options.providers) : checked;
  const request = {
    model,
    label: typeof model === 'string' ? basename(model) : 'model',
    config,
    opsLibraries,
    symbolicDims: options.symbolicDims ?? 'check',
    signal: options.signal,
  } as const;
  return usesAddon() ? AddonSession.create(request) : StockSession.create(request);
}

export interface SessionRequest {
  readonly model: string | Uint8Array;
  /** The model's name in messages. */
  readonly label: string;
  readonly config: CheckedOptions;
  readonly opsLibraries: readonly string[];
  readonly symbolicDims: 'check' | 'ignore';
  readonly signal: AbortSignal | undefined;
}

/** The entry that leaves operators to their bodies, unless the caller has decided. */
async function withBodies(
  config: CheckedOptions,
  model: string | Uint8Array,
  providers: SessionOptions['providers'],
): Promise<CheckedOptions> {
  if (config.configEntries?.[BODY_ENTRY] !== undefined) return config;
  const names = await operatorsLeftToBodies(model, providers);
  return { ...config, configEntries: { ...config.configEntries, [BODY_ENTRY]: names.join(',') } };
}

function requireCuda(): void {
  const { usable, problems } = describeCuda();
  if (!usable) throw new RuntimeError('PROVIDER_UNAVAILABLE', `CUDA cannot be used: ${problems.join('; ')}`);
}

function checkBytes(model: Uint8Array, entries: Readonly<Record<string, string>> = {}): void {
  if ((model.buffer as { resizable?: boolean }).resizable)
    throw unexpected('model', 'bytes in a fixed-length ArrayBuffer', 'a resizable one');
  // With these, the session would go on reading the bytes for as long as it lives; nothing here keeps them.
  for (const name of ['session.use_ort_model_bytes_directly', 'session.use_ort_model_bytes_for_initializers']) {
    if (entries[name] === '1')
      throw invalidArgument(`configEntries['${name}']: not possible for a model given as bytes; give its path`);
  }
}
