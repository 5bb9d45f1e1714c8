// The options of a session: their types, and the checks that turn a wrong one into an error that names it.
import type { NativeSessionConfig } from './binding.js';
import { boolean, integer, oneOf, plainObject, scalars, text } from './checks.js';
import { type CudaProviderOptions, cudaOptions } from './cuda/provider-options.js';
import { unexpected } from './errors.js';
import { handleOf, NativeTensor } from './native-tensor.js';

export interface OtherProviderOptions {
  /** `cpu`, or a name that ONNX Runtime's AppendExecutionProvider knows. */
  readonly name: string;
  /** The provider's own options, by ONNX Runtime's names. */
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

export type ProviderOptions = CudaProviderOptions | OtherProviderOptions;

export interface SessionOptions {
  /**
   * Libraries of custom operators: `auto` (default) registers that of @ort-dora/custom-ops if it is built (with the kernels of CUDA, where
   * that is among the providers), `off` none, or their paths.
   * Without the library, operators of the domain ort.dora run through the functions that the model defines for them. With `auto`, on
   * the CPU, so does DoraLinear in models that have it in float32 only, which is faster; the config entry `ort_dora.body` (names
   * of operators, separated by commas) decides otherwise.
   */
  readonly customOps?: 'auto' | 'off' | readonly string[];
  /** Execution providers in order of preference. The CPU's is always there, as the last. */
  readonly providers?: readonly ProviderOptions[];
  /**
   * Tensors in the place of the model's initializers of these names, on the device where the model uses them: what is in several sessions
   * is held once (`loadInitializers` reads those of a model). Their contents must not change. On the CPU, ONNX Runtime still repacks the
   * weights of products for each session, unless the config entry `session.disable_prepacking` is 1.
   */
  readonly initializers?: Readonly<Record<string, NativeTensor>>;
  /** Entries of onnxruntime_session_options_config_keys.h. */
  readonly configEntries?: Readonly<Record<string, string>>;
  /** Lengths of symbolic dimensions, by name. */
  readonly freeDimensionOverrides?: Readonly<Record<string, number>>;
  /** Threads inside an operator; 0 (default): one a physical core. */
  readonly intraOpNumThreads?: number;
  /** Threads across operators, where `executionMode` is `parallel`. */
  readonly interOpNumThreads?: number;
  readonly executionMode?: 'sequential' | 'parallel';
  readonly graphOptimizationLevel?: 'disabled' | 'basic' | 'extended' | 'layout' | 'all';
  readonly enableCpuMemArena?: boolean;
  readonly enableMemPattern?: boolean;
  /** 0 verbose, 1 info, 2 warning, 3 error, 4 fatal. */
  readonly logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
  readonly logId?: string;
  /** Writes the optimised model there. */
  readonly optimizedModelFilePath?: string;
  /** Turns profiling on; the file is written by `endProfiling()`. */
  readonly profileFilePrefix?: string;
  /**
   * Whether inputs that name the same symbolic dimension must agree on its length (`check`, the default). ONNX Runtime itself does
   * not look and broadcasts or fails somewhere inside.
   */
  readonly symbolicDims?: 'check' | 'ignore';
  /** Aborts the loading. */
  readonly signal?: AbortSignal;
}

/** The part of the options that goes to the native layer as it is. */
export type CheckedOptions = Omit<NativeSessionConfig, 'opsLibraries'>;

type Check = (value: unknown, name: string) => unknown;

const CHECKS: { readonly [K in keyof SessionOptions]-?: Check } = {
  customOps(value, name) {
    if (value === 'auto' || value === 'off') return;
    if (!Array.isArray(value)) throw unexpected(name, "'auto', 'off' or an array of paths", value);
    value.forEach((path, i) => {
      if (typeof path !== 'string' || path === '') throw unexpected(`${name}[${i}]`, 'the path of a library', path);
    });
  },
  providers(value, name) {
    if (!Array.isArray(value)) throw unexpected(name, 'an array of { name, options }', value);
    return value.map((provider, i) => {
      if (typeof provider !== 'object' || provider === null)
        throw unexpected(`${name}[${i}]`, 'an object { name, options }', provider);
      if (typeof provider.name !== 'string' || provider.name === '')
        throw unexpected(`${name}[${i}].name`, 'a provider name', provider.name);
      if (provider.name === 'cuda')
        return { name: 'cuda', options: cudaOptions(provider as CudaProviderOptions, `${name}[${i}]`) };
      for (const field of Object.keys(provider)) {
        if (field !== 'name' && field !== 'options')
          throw unexpected(`${name}[${i}]`, 'the fields name and options', field);
      }
      if (provider.options === undefined) return { name: provider.name };
      return { name: provider.name, options: scalars(provider.options, `${name}[${i}].options`) };
    });
  },
  initializers(value, name) {
    return Object.fromEntries(
      Object.entries(plainObject(value, name)).map(([key, tensor]) => {
        if (!(tensor instanceof NativeTensor)) throw unexpected(`${name}['${key}']`, 'a NativeTensor', tensor);
        return [key, handleOf(tensor)];
      }),
    );
  },
  configEntries: (value, name) => scalars(value, name),
  freeDimensionOverrides(value, name) {
    for (const [key, length] of Object.entries(plainObject(value, name)))
      integer(length, `${name}.${key}`, 0, 2 ** 31 - 1);
  },
  intraOpNumThreads: (value, name) => integer(value, name, 0, 1024),
  interOpNumThreads: (value, name) => integer(value, name, 0, 1024),
  executionMode: (value, name) => oneOf(value, name, ['sequential', 'parallel']),
  graphOptimizationLevel: (value, name) => oneOf(value, name, ['disabled', 'basic', 'extended', 'layout', 'all']),
  enableCpuMemArena: boolean,
  enableMemPattern: boolean,
  logSeverityLevel: (value, name) => integer(value, name, 0, 4),
  logId: text,
  optimizedModelFilePath: text,
  profileFilePrefix: text,
  symbolicDims: (value, name) => oneOf(value, name, ['check', 'ignore']),
  signal(value, name) {
    if (!(value instanceof AbortSignal)) throw unexpected(name, 'an AbortSignal', value);
  },
};

/** @throws RuntimeError INVALID_ARGUMENT naming the option, what was expected and what came */
export function checkSessionOptions(options: SessionOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) throw unexpected('options', 'an object', options);
  const checked: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(CHECKS, name)) throw unexpected('options', `one of ${Object.keys(CHECKS).join(', ')}`, name);
    checked[name] = CHECKS[name as keyof SessionOptions](value, name) ?? value;
  }
  const { customOps, symbolicDims, signal, ...config } = checked;
  return config;
}
