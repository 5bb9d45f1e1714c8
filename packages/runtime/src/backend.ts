// The sessions of this package behind the API that people know: InferenceSession and Tensor of onnxruntime-common.
//
//   import { registerBackend } from '@ort-dora/runtime/backend';
//   import { InferenceSession, Tensor } from 'onnxruntime-common';
//   registerBackend();
//   const session = await InferenceSession.create('model.onnx');
import { createRequire } from 'node:module';
import type { Backend, InferenceSession, InferenceSessionHandler, OnnxValue, Tensor } from 'onnxruntime-common';
import * as esm from 'onnxruntime-common';
import type { ElementData, ElementType } from './element-types.js';
import { RuntimeError } from './errors.js';
import { NativeTensor } from './native-tensor.js';
import { createSession, type RunOptions, type Session } from './session.js';
import type { SessionOptions } from './session-options.js';
import type { TensorData, Value } from './values.js';

/** The name to give in `executionProviders`. */
export const BACKEND_NAME = 'ort-dora';

/** An entry of `executionProviders`, with what InferenceSession's own options have no field for. */
export interface OrtDoraExecutionProvider
  extends Pick<SessionOptions, 'customOps' | 'providers' | 'configEntries' | 'symbolicDims'> {
  readonly name: typeof BACKEND_NAME;
}

/** What is used of a copy of onnxruntime-common. */
export type OnnxruntimeCommon = Pick<typeof esm, 'registerBackend' | 'Tensor'>;

export interface RegisterOptions {
  /**
   * Backends of a higher priority are tried first where a session names no execution provider; onnxruntime-node's have 100. Below zero:
   * only sessions that name this one get it. Default: 1000.
   */
  readonly priority?: number;
  /**
   * The copies of onnxruntime-common to register with. Default: the two that this package sees, for `import` and for `require()`: each
   * has backends and a Tensor class of its own.
   */
  readonly modules?: readonly OnnxruntimeCommon[];
}

/**
 * Makes `InferenceSession.create` use this package. It can be called again with the same priority; onnxruntime-common itself lets no
 * later call change the priority of a name upwards.
 */
export function registerBackend({ priority = 1000, modules = ownModules() }: RegisterOptions = {}): void {
  for (const common of modules) common.registerBackend(BACKEND_NAME, backendFor(common), priority);
}

/** A Tensor of bfloat16, a type that the constructor of Tensor refuses: raw bits in, raw bits out. */
export function bfloat16Tensor(
  data: Uint16Array,
  dims: readonly number[] = [data.length],
  TensorClass: OnnxruntimeCommon['Tensor'] = esm.Tensor,
): Tensor {
  const tensor: Tensor = new TensorClass('uint16', data, dims);
  return Object.defineProperties(tensor, {
    type: { value: 'bfloat16', enumerable: true },
    reshape: { value: (to: readonly number[]) => bfloat16Tensor(data, to, TensorClass) },
  });
}

function ownModules(): OnnxruntimeCommon[] {
  return [esm, createRequire(import.meta.url)('onnxruntime-common') as OnnxruntimeCommon];
}

const backends = new WeakMap<OnnxruntimeCommon['Tensor'], Backend>();

/** One for each copy: registering a second object under the same name and priority is an error. */
function backendFor({ Tensor: TensorClass }: OnnxruntimeCommon): Backend {
  let backend = backends.get(TensorClass);
  if (backend === undefined) {
    backend = {
      async init() {},
      async createInferenceSessionHandler(model, options = {}) {
        if (
          ![options.preferredOutputLocation].flat().every((location) => location === undefined || location === 'cpu')
        ) {
          throw new RuntimeError(
            'NOT_SUPPORTED',
            "preferredOutputLocation: only 'cpu' is possible; use createSession for native tensors",
          );
        }
        return new Handler(await createSession(model, sessionOptions(options)), TensorClass);
      },
    };
    backends.set(TensorClass, backend);
  }
  return backend;
}

type Values = Record<string, OnnxValue>;

class Handler implements InferenceSessionHandler {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly InferenceSession.ValueMetadata[];
  readonly outputMetadata: readonly InferenceSession.ValueMetadata[];
  readonly #session: Session;
  readonly #Tensor: OnnxruntimeCommon['Tensor'];

  constructor(session: Session, TensorClass: OnnxruntimeCommon['Tensor']) {
    this.#session = session;
    this.#Tensor = TensorClass;
    this.inputNames = session.inputs.map(({ name }) => name);
    this.outputNames = session.outputs.map(({ name }) => name);
    // Its types know no bfloat16.
    this.inputMetadata = session.inputs as readonly InferenceSession.ValueMetadata[];
    this.outputMetadata = session.outputs as readonly InferenceSession.ValueMetadata[];
  }

  async run(
    feeds: Values,
    fetches: Record<string, OnnxValue | null>,
    options: InferenceSession.RunOptions,
  ): Promise<Values> {
    const inputs = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, toValue(tensor, name)]));
    const wanted = Object.fromEntries(
      Object.entries(fetches).map(([name, tensor]) => [
        name,
        tensor === null ? (true as const) : toValue(tensor, name),
      ]),
    );
    const results = await this.#session.run(inputs, { ...runOptions(options), fetches: wanted });
    return Object.fromEntries(
      Object.entries(results).map(([name, value]) => [name, fetches[name] ?? this.#toTensor(value as TensorData)]),
    );
  }

  startProfiling(): void {} // it began with the session, if enableProfiling was set

  endProfiling(): void {
    this.#session.endProfiling();
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }

  #toTensor({ type, data, dims }: TensorData): Tensor {
    if (type === 'bfloat16') return bfloat16Tensor(data as Uint16Array, dims, this.#Tensor);
    return new this.#Tensor(type as 'float32', data as Float32Array, dims);
  }
}

function toValue(tensor: OnnxValue, name: string): Value {
  if ((tensor as unknown) instanceof NativeTensor) return tensor as unknown as NativeTensor;
  const { type, dims, location } = tensor as Tensor;
  if (location !== 'cpu')
    throw new RuntimeError('NOT_SUPPORTED', `'${name}': tensors in ${location} cannot be used; expected 'cpu'`);
  return { type: type as ElementType, data: (tensor as Tensor).data as ElementData[ElementType], dims };
}

/** `signal` is not among InferenceSession's own options, but arrives. */
function runOptions(options: InferenceSession.RunOptions & { readonly signal?: AbortSignal }): RunOptions {
  const { tag, logSeverityLevel, extra, terminate } = options;
  const signal = options.signal ?? (terminate ? AbortSignal.abort(new Error('terminated')) : undefined);
  return {
    ...(signal !== undefined && { signal }),
    ...(tag !== undefined && { tag }),
    ...(logSeverityLevel !== undefined && { logSeverityLevel }),
    ...(extra !== undefined && { configEntries: flatten(extra) }),
  };
}

function sessionOptions(options: InferenceSession.SessionOptions): SessionOptions {
  const own = options.executionProviders?.find(
    (provider): provider is OrtDoraExecutionProvider & InferenceSession.ExecutionProviderOption =>
      typeof provider === 'object' && provider.name === BACKEND_NAME,
  );
  const { customOps, providers, configEntries, symbolicDims } = own ?? ({} as Partial<OrtDoraExecutionProvider>);
  const all = {
    customOps,
    providers,
    symbolicDims,
    configEntries: { ...(options.extra && flatten(options.extra)), ...configEntries },
    intraOpNumThreads: options.intraOpNumThreads,
    interOpNumThreads: options.interOpNumThreads,
    graphOptimizationLevel: options.graphOptimizationLevel,
    executionMode: options.executionMode,
    enableCpuMemArena: options.enableCpuMemArena,
    enableMemPattern: options.enableMemPattern,
    freeDimensionOverrides: options.freeDimensionOverrides,
    optimizedModelFilePath: options.optimizedModelFilePath,
    logSeverityLevel: options.logSeverityLevel,
    logId: options.logId,
    profileFilePrefix: options.enableProfiling ? (options.profileFilePrefix ?? 'onnxruntime_profile_') : undefined,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as SessionOptions;
}

/** onnxruntime-common nests configuration: `{ session: { intra_op: { allow_spinning: '0' } } }`. */
function flatten(extra: Record<string, unknown>, prefix = ''): Record<string, string> {
  const entries = Object.entries(extra).flatMap(([key, value]): [string, string][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(flatten(value as Record<string, unknown>, `${prefix}${key}.`))
      : [[prefix + key, String(value)]],
  );
  return Object.fromEntries(entries);
}
