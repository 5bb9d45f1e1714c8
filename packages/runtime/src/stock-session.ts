// A session on stock onnxruntime-node: the same interface, with a plain error for what that binding cannot do.
import { existsSync } from 'node:fs';
import type { NativeValueInfo } from './binding.js';
import { bits } from './cells.js';
import { type ElementData, type ElementType, isElementType } from './element-types.js';
import { invalidArgument, RuntimeError } from './errors.js';
import { checkData, HeldTensor } from './held-tensor.js';
import { handleOf, NativeTensor, tensorOf } from './native-tensor.js';
import { checkRunOptions } from './run-options.js';
import type { Feeds, Results, RunOptions, Session, SessionRequest } from './session.js';
import { Signature } from './signature.js';
import { type StockInferenceSession, type StockTensor, type StockValueInfo, stockBinding } from './stock-binding.js';
import type { TensorData, Value, ValueInfo } from './values.js';

export class StockSession implements Session {
  readonly backend = 'onnxruntime-node';
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #stock: StockInferenceSession;
  readonly #label: string;
  readonly #signature: Signature;
  readonly #pending = new Set<Promise<unknown>>();
  #disposal: Promise<void> | undefined;

  private constructor(stock: StockInferenceSession, label: string, symbolicDims: 'check' | 'ignore') {
    this.#stock = stock;
    this.#label = label;
    this.#signature = new Signature(
      stock.inputMetadata.map(nativeInfo),
      stock.outputMetadata.map(nativeInfo),
      symbolicDims,
    );
    this.inputs = this.#signature.inputs;
    this.outputs = this.#signature.outputs;
  }

  static create({ model, label, config, symbolicDims }: SessionRequest): StockSession {
    if (config.initializers !== undefined) throw notSupported('initializers', 'sharing them');
    const stock = new (stockBinding().InferenceSession)();
    const options = stockOptions(config);
    try {
      if (typeof model === 'string') stock.loadModel(model, options);
      else stock.loadModel(model.buffer, model.byteOffset, model.byteLength, options);
    } catch (cause) {
      const code = typeof model === 'string' && !existsSync(model) ? 'MODEL_NOT_FOUND' : 'MODEL_LOAD_FAILED';
      throw new RuntimeError(code, `${label}: ${(cause as Error).message}`, { cause });
    }
    return new StockSession(stock, label, symbolicDims);
  }

  run(feeds: Feeds, options?: RunOptions<readonly string[]>): Promise<Record<string, TensorData>>;
  run(feeds: Feeds, options: RunOptions): Promise<Results>;
  async run(feeds: Feeds, options: RunOptions = {}): Promise<Results> {
    const start = this.#prepare(feeds, options);
    const pending = new Promise<Results>((resolve, reject) => {
      // Not now: the caller's other work goes first, and an abort can still arrive.
      setImmediate(() => {
        try {
          options.signal?.throwIfAborted();
          resolve(start());
        } catch (error) {
          reject(error);
        }
      });
    });
    this.#pending.add(pending);
    try {
      return await pending;
    } finally {
      this.#pending.delete(pending);
    }
  }

  runSync(feeds: Feeds, options?: RunOptions<readonly string[]>): Record<string, TensorData>;
  runSync(feeds: Feeds, options: RunOptions): Results;
  runSync(feeds: Feeds, options: RunOptions = {}): Results {
    return this.#prepare(feeds, options)();
  }

  bind(): never {
    throw new RuntimeError('NOT_SUPPORTED', 'bind needs the native addon; stock onnxruntime-node is in use');
  }

  /** onnxruntime-node writes the profile and does not say where. */
  endProfiling(): string {
    this.#live().endProfiling();
    throw new RuntimeError(
      'NOT_SUPPORTED',
      'endProfiling: the profile is written, but onnxruntime-node does not tell its path',
    );
  }

  dispose(): Promise<void> {
    this.#disposal ??= Promise.allSettled(this.#pending).then(() => this.#stock.dispose());
    return this.#disposal;
  }

  #live(): StockInferenceSession {
    if (this.#disposal !== undefined) throw new RuntimeError('DISPOSED', `${this.#label}: the session is disposed`);
    return this.#stock;
  }

  /** Checks everything and returns what remains to be done. */
  #prepare(feeds: Feeds, options: RunOptions): () => Results {
    const stock = this.#live();
    options.signal?.throwIfAborted();
    checkRunOptions(options);
    if (options.device !== undefined && options.device !== 'cpu') {
      throw new RuntimeError('PROVIDER_UNAVAILABLE', `device: onnxruntime-node leaves no output on ${options.device}`);
    }
    const inputs: Record<string, StockTensor> = {};
    this.#signature.forEachFeed(feeds, (value, name) => {
      inputs[name] = stockTensor(value, `input '${name}'`);
    });
    const wanted = new Map<string, true | 'native' | Value>();
    if (options.fetches === undefined) for (const { name } of this.outputs) wanted.set(name, true);
    else this.#signature.forEachFetch(options.fetches, (fetch, name) => fetch !== undefined && wanted.set(name, fetch));
    for (const output of this.outputs) {
      if (!output.isTensor && wanted.has(output.name)) throw notSupported(`output '${output.name}'`, 'its type');
      if (output.isTensor && output.type === 'bfloat16' && wanted.has(output.name))
        throw notSupported(`output '${output.name}'`, 'bfloat16');
    }
    const fetches = Object.fromEntries([...wanted.keys()].map((name) => [name, null]));
    return () => this.#finish(stock, inputs, fetches, wanted, options);
  }

  #finish(
    stock: StockInferenceSession,
    inputs: Record<string, StockTensor>,
    fetches: Record<string, null>,
    wanted: ReadonlyMap<string, true | 'native' | Value>,
    { configEntries, tag, logSeverityLevel }: RunOptions,
  ): Results {
    let outputs: Record<string, StockTensor>;
    try {
      outputs = stock.run(inputs, fetches, {
        ...(configEntries && { extra: configEntries }),
        ...(tag !== undefined && { tag }),
        ...(logSeverityLevel !== undefined && { logSeverityLevel }),
      });
    } catch (cause) {
      throw new RuntimeError('RUN_FAILED', `${this.#label}: ${(cause as Error).message}`, { cause });
    }
    const results: Results = {};
    for (const [name, fetch] of wanted) {
      const data = tensorData(outputs[name]!, name);
      if (fetch === true) results[name] = data;
      else if (fetch === 'native') results[name] = tensorOf(new HeldTensor(data));
      else results[name] = copyInto(fetch, data, name);
    }
    return results;
  }
}

function stockTensor(value: Value, parameter: string): StockTensor {
  const { type, data, dims } = value instanceof NativeTensor ? heldTensor(value).tensor : value;
  if (type === 'bfloat16') throw notSupported(parameter, 'bfloat16');
  checkData(parameter, { type, data: bits(data) as ElementData[ElementType], dims });
  // Its Tensor wants a Uint8Array, and no views of an empty buffer.
  const exact =
    (data as unknown) instanceof Uint8ClampedArray
      ? new Uint8Array((data as Uint8ClampedArray).buffer, (data as Uint8ClampedArray).byteOffset, data.length)
      : data;
  return new (stockBinding().Tensor)(type, exact, dims);
}

function heldTensor(tensor: NativeTensor): HeldTensor {
  return handleOf(tensor) as HeldTensor;
}

function tensorData({ type, data, dims }: StockTensor, name: string): TensorData {
  if (!isElementType(type)) throw notSupported(`output '${name}'`, type);
  return { type, data: bits(data) as ElementData[ElementType], dims };
}

/** Stands in for outputs that the run itself writes into. */
function copyInto(target: Value, from: TensorData, name: string): Value {
  const { type, data, dims } = target instanceof NativeTensor ? heldTensor(target).tensor : target;
  if (type !== from.type || dims.join() !== from.dims.join()) {
    throw invalidArgument(
      `output '${name}': expected a tensor of ${from.type} [${from.dims.join(', ')}] to write into, got ${type} [${dims.join(', ')}]`,
    );
  }
  checkData(`output '${name}'`, { type, data, dims });
  if (type === 'string') throw invalidArgument(`output '${name}': a string output cannot be written into an array`);
  (data as Uint8Array).set(from.data as Uint8Array);
  return target;
}

function notSupported(what: string, kind: string): RuntimeError {
  return new RuntimeError('NOT_SUPPORTED', `${what}: ${kind} needs the native addon; stock onnxruntime-node is in use`);
}

function nativeInfo({ name, isTensor, type, shape, symbolicDimensions }: StockValueInfo): NativeValueInfo {
  if (!isTensor || type === undefined || shape === undefined) return { name, isTensor: false };
  return { name, isTensor, type, shape: shape.map((dim, i) => (dim >= 0 ? dim : (symbolicDimensions?.[i] ?? ''))) };
}

function stockOptions({
  providers,
  configEntries,
  profileFilePrefix,
  initializers,
  ...same
}: SessionRequest['config']): object {
  return {
    ...same,
    ...(providers && {
      executionProviders: providers.map(({ name, options }) => ({
        name,
        ...(options?.device_id !== undefined && { deviceId: Number(options.device_id) }),
      })),
    }),
    ...(configEntries && { extra: configEntries }),
    ...(profileFilePrefix !== undefined && { enableProfiling: true, profileFilePrefix }),
  };
}
