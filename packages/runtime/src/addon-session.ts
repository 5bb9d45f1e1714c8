// A session on the native addon.
import { binding } from './addon.js';
import {
  type Cell,
  FETCH,
  HANDLE,
  type NativeRunOptions,
  type NativeSessionHandle,
  type NativeTensorHandle,
} from './binding.js';
import { BoundRun } from './bound-run.js';
import { keepInPlace, pushCells, SHARE_FROM } from './cells.js';
import { type ElementData, type ElementType, elementTypeOf } from './element-types.js';
import { fromNative, invalidArgument, RuntimeError, unexpected } from './errors.js';
import { handleOf, NativeTensor, tensorOf } from './native-tensor.js';
import { abortable, nativeOptions } from './run-options.js';
import type {
  BindOptions,
  BoundTensors,
  Feeds,
  Fetches,
  Results,
  RunOptions,
  Session,
  SessionRequest,
} from './session.js';
import { Signature } from './signature.js';
import type { TensorData, Value, ValueInfo } from './values.js';

export class AddonSession implements Session {
  readonly backend = 'addon';
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #label: string;
  readonly #native: NativeSessionHandle;
  readonly #signature: Signature;
  readonly #everything: readonly Cell[];
  readonly #graphs: boolean;
  /** Of its GPU, such as `cuda:0`. */
  readonly #gpu: string | undefined;
  #inFlight = 0;
  #idle: (() => void) | undefined;
  #disposal: Promise<void> | undefined;

  private constructor(
    native: NativeSessionHandle,
    label: string,
    symbolicDims: 'check' | 'ignore',
    config: SessionRequest['config'],
  ) {
    const cuda = config.providers?.find(({ name }) => name === 'cuda');
    this.#graphs = cuda?.options?.enable_cuda_graph === '1';
    this.#gpu = cuda && `cuda:${cuda.options?.device_id ?? 0}`;
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
      return new AddonSession(await abortable(promise, id, signal), label, symbolicDims, config);
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
    const given = this.#options(options);
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
    const given = this.#options(options);
    const cells = this.#feedCells(feeds, false);
    const wanted = this.#fetchCells(options.fetches, false);
    try {
      return this.#results(native.runSync(cells, wanted, given));
    } catch (error) {
      throw fromNative(error, this.#label);
    }
  }

  bind(feeds: BoundTensors, fetches: BoundTensors, { graph = false }: BindOptions = {}): BoundRun {
    const native = this.#live();
    if (graph && !this.#graphs) {
      throw invalidArgument(
        `${this.#label}: graph: the session was made without CUDA graphs; make it with providers: [{ name: 'cuda', graphs: true }]`,
      );
    }
    const inputs: NativeTensorHandle[] = [];
    this.#signature.forEachFeed(feeds, (value, name) => {
      inputs.push(handleOf(boundTensor(value, `input '${name}'`)));
    });
    const outputs: (NativeTensorHandle | null)[] = [];
    this.#signature.forEachFetch(fetches, (wanted, name) => {
      outputs.push(wanted === undefined ? null : handleOf(boundTensor(wanted, `output '${name}'`)));
    });
    try {
      return new BoundRun(native.bind(inputs, outputs, graph), this.#label);
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

  #options(options: RunOptions): NativeRunOptions | undefined {
    const { device, fetches = [] } = options;
    if (this.#gpu === undefined || device !== undefined || Array.isArray(fetches)) return nativeOptions(options);
    return nativeOptions(Object.values(fetches).includes('native') ? { ...options, device: this.#gpu } : options);
  }

  #feedCells(feeds: Feeds, lent: boolean): readonly Cell[] {
    const cells: Cell[] = [];
    this.#signature.forEachFeed(feeds, (value) => {
      pushCells(cells, cellValue(value), lent ? SHARE_FROM : Number.POSITIVE_INFINITY);
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
      else pushCells(cells, cellValue(wanted), lent ? 0 : Number.POSITIVE_INFINITY);
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

function boundTensor(value: unknown, parameter: string): NativeTensor {
  if (value instanceof NativeTensor) return value;
  throw unexpected(parameter, 'a NativeTensor, whose memory every run uses', value);
}

function cellValue(value: Value): TensorData | NativeTensorHandle {
  return value instanceof NativeTensor ? handleOf(value) : value;
}
