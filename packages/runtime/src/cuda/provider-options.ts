// The options of CUDA's execution provider: their types, and how ONNX Runtime writes them.
import { boolean, integer, oneOf, scalars } from '../checks.js';
import { unexpected } from '../errors.js';

export interface CudaProviderOptions {
  readonly name: 'cuda';
  /** Number of the GPU, as `CUDA_VISIBLE_DEVICES` leaves them. Default: 0. */
  readonly device?: number;
  /** Bytes that the session's arena may take for activations and its own copy of the weights. Default: no limit. */
  readonly memoryLimit?: number;
  /** How the arena grows: by doubling (default), or by what is asked for, which wastes less and allocates more often. */
  readonly arenaGrowth?: 'power-of-two' | 'as-requested';
  /** Whether float32 products may be computed in TensorFloat-32, with 10 bits of mantissa. ONNX Runtime's default: true. */
  readonly tf32?: boolean;
  /**
   * Whether runs can be captured in CUDA graphs: those of `bind(…, { graph: true })`. All runs of the session then take turns on one
   * thread of its own. All nodes must run on the GPU.
   */
  readonly graphs?: boolean;
  /** One stream for all that the session does, instead of one for each part of the graph. */
  readonly unifiedStream?: boolean;
  /** Whether copies of inputs and outputs use the compute stream (default) or one of their own. */
  readonly copyInComputeStream?: boolean;
  readonly convolutionSearch?: 'exhaustive' | 'heuristic' | 'default';
  readonly preferNhwc?: boolean;
  /** Options that have no field here, by ONNX Runtime's names, such as `{ sdpa_kernel: 1 }`. */
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

type Write = (value: never, name: string) => string;

const FIELDS: {
  readonly [K in Exclude<keyof CudaProviderOptions, 'name' | 'options'>]-?: readonly [string, Write];
} = {
  device: ['device_id', counted(255)],
  memoryLimit: ['gpu_mem_limit', counted(Number.MAX_SAFE_INTEGER)],
  arenaGrowth: [
    'arena_extend_strategy',
    named({ 'power-of-two': 'kNextPowerOfTwo', 'as-requested': 'kSameAsRequested' }),
  ],
  tf32: ['use_tf32', flag],
  graphs: ['enable_cuda_graph', flag],
  unifiedStream: ['use_ep_level_unified_stream', flag],
  copyInComputeStream: ['do_copy_in_default_stream', flag],
  convolutionSearch: [
    'cudnn_conv_algo_search',
    named({ exhaustive: 'EXHAUSTIVE', heuristic: 'HEURISTIC', default: 'DEFAULT' }),
  ],
  preferNhwc: ['prefer_nhwc', flag],
};

/** @throws RuntimeError INVALID_ARGUMENT naming the field, what was expected and what came */
export function cudaOptions(provider: CudaProviderOptions, parameter: string): Record<string, string> {
  const { name, options, ...fields } = provider;
  const written = options === undefined ? {} : scalars(options, `${parameter}.options`);
  for (const [field, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(FIELDS, field)) {
      throw unexpected(parameter, `fields among name, ${Object.keys(FIELDS).join(', ')}, options`, field);
    }
    const [key, write] = FIELDS[field as keyof typeof FIELDS];
    if (written[key] !== undefined)
      throw unexpected(`${parameter}.options['${key}']`, `${field} alone`, 'both of them');
    written[key] = write(value as never, `${parameter}.${field}`);
  }
  return written;
}

function flag(value: unknown, name: string): string {
  boolean(value, name);
  return value ? '1' : '0';
}

function counted(most: number): Write {
  return (value: unknown, name) => {
    integer(value, name, 0, most);
    return `${value}`;
  };
}

function named(words: Readonly<Record<string, string>>): Write {
  return (value: string, name) => {
    oneOf(value, name, Object.keys(words));
    return words[value]!;
  };
}
