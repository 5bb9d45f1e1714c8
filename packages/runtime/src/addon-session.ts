// A session on the native addon.
import { markAsUntransferable } from 'node:worker_threads';
import { binding } from './addon.js';
import {
  type Cell,
  FETCH,
  HANDLE,
  type NativeRunOptions,
  type NativeSessionHandle,
  type NativeTensorHandle,
} from './binding.js';
import { ELEMENT_TYPES, type ElementData, type ElementType, elementTypeOf } from './element-types.js';
import { fromNative, RuntimeError } from './errors.js';
import { bits, handleOf, NativeTensor, tensorOf } from './native-tensor.js';
import { checkRunOptions } from './run-options.js';
import type { Feeds, Fetches, Results, RunOptions, Session, SessionRequest } from './session.js';
import { Signature } from './signature.js';
import type { TensorData, Value, ValueInfo } from './values.js';

// As kShareFrom of native/tensor_data.h: what is larger is read in place by asynchronous runs.
const SHARE_FROM = 16 * 1024;

export class AddonSession implements Session {
  readonly backend = 'addon';
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #label: string;
  readonly #native: NativeSessionHandle;
  readonly #signature: Signature;
  readonly #everything: readonly Cell[];
  #inFlight = 0;
  #idle: (() => void) | undefined;
  #disposal: Promise<void> | undefined;

  private constructor(native: NativeSessionHandle, label: string, symbolicDims: 'check' | 'ignore') {
    this.#native = native;
    this.#label = label;
    this.#signature = new Signature(native.inputs, native.outputs, symbolicDims);
    this.inputs = this.#signature.inputs;
    this.outputs = this.#signature.outputs;
    this.#everything = this.outputs.flatMap(() => [FETCH.data, null, null]);
  }

  static async create({
    model,
    label,
    config,
    opsLibraries,
    symbolicDims,
    signal,
  }: SessionRequest): Promise<AddonSession> {
    try {
      if (model instanceof Uint8Array) keepInPlace(model);
      const { promise, id } = binding().NativeSessionHandle.create(model, { ...config, opsLibraries });
      return new AddonSession(await abortable(promise, id, signal), label, symbolicDims);
    } catch (error) {
      throw fromNative(error, label, signal);
    }
  }

  run(feeds: Feeds, options?: RunOptions<readonly string[]>): Promise<Record<string, TensorData>>;
  run(feeds: Feeds, options: RunOptions): Promise<Results>;
  async run(feeds: Feeds, options: RunOptions = {}): Promise<Results> {
    const native = this.#live();
    const { signal } = options;
    signal?.throwIfAborted();
    const given = nativeOptions(options);
    const cells = this.#feedCells(feeds, true);
    const wanted = this.#fetchCells(options.fetches, true);
    this.#inFlight++;
    try {
      if (signal === undefined) return this.#results(await native.run(cells, wanted, given));
      const id: number[] = [];
      const promise = native.run(cells, wanted, given, id);
      return this.#results(await abortable(promise, id[0]!, signal));
    } catch (error) {
      throw fromNative(error, this.#label, signal);
    } finally {
      if (--this.#inFlight === 0) this.#idle?.();
    }
  }

  runSync(feeds: Feeds, options?: RunOptions<readonly string[]>): Record<string, TensorData>;
  runSync(feeds: Feeds, options: RunOptions): Results;
  runSync(feeds: Feeds, options: RunOptions = {}): Results {
    const native = this.#live();
    options.signal?.throwIfAborted();
    const given = nativeOptions(options);
    const cells = this.#feedCells(feeds, false);
    const wanted = this.#fetchCells(options.fetches, false);
    try {
      return this.#results(native.runSync(cells, wanted, given));
    } catch (error) {
      throw fromNative(error, this.#label);
    }
  }

  endProfiling(): string {
    return this.#live().endProfiling();
  }

  dispose(): Promise<void> {
    this.#disposal ??= this.#dispose();
    return this.#disposal;
  }

  async #dispose(): Promise<void> {
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    await this.#native.dispose();
  }

  #live(): NativeSessionHandle {
    if (this.#disposal !== undefined) throw new RuntimeError('DISPOSED', `${this.#label}: the session is disposed`);
    return this.#native;
  }

  #feedCells(feeds: Feeds, lent: boolean): readonly Cell[] {
    const cells: Cell[] = [];
    this.#signature.forEachFeed(feeds, (value) => {
      pushCells(cells, value, lent ? SHARE_FROM : Number.POSITIVE_INFINITY);
    });
    return cells;
  }

  #fetchCells(fetches: Fetches | undefined, lent: boolean): readonly Cell[] {
    if (fetches === undefined) return this.#everything;
    const cells: Cell[] = [];
    this.#signature.forEachFetch(fetches, (wanted) => {
      if (wanted === undefined) cells.push(FETCH.skip, null, null);
      else if (wanted === true) cells.push(FETCH.data, null, null);
      else if (wanted === 'native') cells.push(FETCH.native, null, null);
      else pushCells(cells, wanted, lent ? 0 : Number.POSITIVE_INFINITY);
    });
    return cells;
  }

  #results(cells: readonly Cell[]): Results {
    const results: Results = {};
    const { outputs } = this;
    for (let i = 0; i < outputs.length; i++) {
      const type = cells[3 * i] as number | undefined;
      if (type === undefined) continue;
      const data = cells[3 * i + 1];
      results[outputs[i]!.name] =
        type === HANDLE
          ? tensorOf(data as NativeTensorHandle)
          : {
              type: elementTypeOf(type)!,
              data: data as ElementData[ElementType],
              dims: cells[3 * i + 2] as number[],
            };
    }
    return results;
  }
}

/** `shareFrom`: the bytes from which on the native layer uses the memory in place while JavaScript goes on. */
function pushCells(cells: Cell[], value: Value, shareFrom: number): void {
  if (value instanceof NativeTensor) {
    cells.push(HANDLE, handleOf(value), null);
    return;
  }
  const data = bits(value.data);
  if (ArrayBuffer.isView(data) && data.byteLength >= shareFrom) keepInPlace(data);
  cells.push(ELEMENT_TYPES[value.type], data, value.dims);
}

/** A buffer that native code reads must not be detached under it. Node.js offers no way to lift the mark later. */
function keepInPlace(view: ArrayBufferView): void {
  if (view.buffer instanceof ArrayBuffer) markAsUntransferable(view.buffer);
}

function nativeOptions(options: RunOptions): NativeRunOptions | undefined {
  const { configEntries, tag, logSeverityLevel, device } = options;
  if ((configEntries ?? tag ?? logSeverityLevel ?? device) === undefined) return undefined;
  checkRunOptions(options);
  return { config: configEntries, tag, logSeverityLevel, device };
}

async function abortable<T>(promise: Promise<T>, id: number, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const abort = () => void binding().cancel(id);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
