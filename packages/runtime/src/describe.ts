// What was found of the runtime on this machine, for `ort-dora doctor`.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { cudaOpsLibraryPath, opsLibraryPath } from '@ort-dora/custom-ops';
import { addonState } from './addon.js';
import { type CudaDescription, describeCuda } from './cuda/describe-cuda.js';
import { type Backend, backend } from './engine.js';
import { RuntimeError } from './errors.js';
import { ownOpsLibrary } from './ops-libraries.js';
import { findOrtLibrary } from './ort-library.js';
import { stockBinding, stockVersion } from './stock-binding.js';

export interface RuntimeDescription {
  /** What sessions run on; undefined if nothing can run here, for `reason`. */
  readonly backend: Backend | undefined;
  /** Why it is not the addon. */
  readonly reason: string | undefined;
  readonly node: { readonly version: string; readonly platform: string; readonly arch: string };
  readonly onnxruntime: { readonly version: string | undefined; readonly path: string | undefined };
  readonly addon: {
    readonly status: 'loaded' | 'unavailable';
    readonly path: string | undefined;
    readonly error: string | undefined;
  };
  readonly opsLibrary: OpsLibraryDescription;
  /** The one that sessions with CUDA register in its place. */
  readonly cudaOpsLibrary: OpsLibraryDescription;
  /** As ONNX Runtime names them, such as `CPUExecutionProvider` (stock: `cpu`). */
  readonly providers: readonly string[];
  readonly cuda: CudaDescription;
  readonly cpu: { readonly model: string; readonly count: number; readonly features: readonly string[] };
}

/** A library of @ort-dora/custom-ops. `unused`: there, but stock onnxruntime-node cannot register it. */
export interface OpsLibraryDescription {
  readonly status: 'registered' | 'absent' | 'failed' | 'unused';
  readonly path: string | undefined;
  readonly error: string | undefined;
}

/** Loads the addon and the operator libraries to find out. Never throws. */
export function describeRuntime(): RuntimeDescription {
  const chosen = attempt(backend);
  const addon = addonState();
  const loaded = addon.status === 'loaded' ? addon.addon : undefined;
  const library = loaded?.library ?? attempt(findOrtLibrary).value;
  return {
    backend: chosen.value,
    reason: chosen.value === 'addon' ? undefined : (chosen.error ?? whyStock()),
    node: { version: process.version, platform: process.platform, arch: process.arch },
    onnxruntime: { version: loaded?.library.version ?? attempt(stockVersion).value, path: library?.path },
    addon: {
      status: addon.status,
      path: loaded?.path,
      error: addon.status === 'unavailable' ? addon.error.message : undefined,
    },
    opsLibrary: describeOpsLibrary(chosen.value, 'cpu'),
    cudaOpsLibrary: describeOpsLibrary(chosen.value, 'cuda'),
    providers:
      attempt(() => (chosen.value === 'addon' && loaded ? loaded.binding.providers() : stockBinding().providers()))
        .value ?? [],
    cuda: describeCuda(),
    cpu: describeCpu(),
  };
}

function whyStock(): string {
  const state = addonState();
  return state.status === 'loaded' ? 'ORT_DORA_RUNTIME=onnxruntime-node' : state.error.message;
}

function describeOpsLibrary(chosen: Backend | undefined, kind: 'cpu' | 'cuda'): OpsLibraryDescription {
  if (chosen !== 'addon') {
    const { value: path, error } = attempt(kind === 'cpu' ? opsLibraryPath : cudaOpsLibraryPath);
    return { status: error === undefined ? (path === undefined ? 'absent' : 'unused') : 'failed', path, error };
  }
  const state = ownOpsLibrary(kind);
  if (state.status === 'absent') return { status: 'absent', path: undefined, error: undefined };
  return { status: state.status, path: state.path, error: state.status === 'failed' ? state.error.message : undefined };
}

/** The instruction sets that the kernels of ONNX Runtime and of the operator library choose by. */
const FEATURES = [
  'sse4_2',
  'avx',
  'f16c',
  'fma',
  'avx2',
  'avx512f',
  'avx512bw',
  'avx512_vnni',
  'avx512_bf16',
  'avx512_fp16',
  'avx_vnni',
  'amx_bf16',
  'amx_int8',
];

function describeCpu(): RuntimeDescription['cpu'] {
  const all = cpus();
  const info = process.platform === 'linux' ? (attempt(() => readFileSync('/proc/cpuinfo', 'utf8')).value ?? '') : '';
  const flags = new Set(/^flags\s*:(.*)$/m.exec(info)?.[1]?.trim().split(/\s+/));
  return {
    model: all[0]?.model.trim() ?? 'unknown',
    count: all.length,
    features: FEATURES.filter((name) => flags.has(name)),
  };
}

function attempt<T>(find: () => T): { value: T | undefined; error: string | undefined } {
  try {
    return { value: find(), error: undefined };
  } catch (error) {
    if (error instanceof RuntimeError || error instanceof Error) return { value: undefined, error: error.message };
    throw error;
  }
}
