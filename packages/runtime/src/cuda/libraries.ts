// The libraries that CUDA's execution provider needs, as they are found on this machine.
import type { Binding } from '../binding.js';
import { VERSION_QUERY } from '../binding.js';

export interface CudaLibrary {
  /** As the loader asks for it, such as `libcublas.so.13`. */
  readonly soname: string;
  /** `operators`: only operators that use it fail without it. */
  readonly neededBy: 'provider' | 'operators';
  readonly path: string | undefined;
  readonly version: string | undefined;
  /** Why it cannot be opened. */
  readonly error: string | undefined;
  /** What was found of other major versions. */
  readonly others: readonly { readonly soname: string; readonly version: string | undefined }[];
}

/** What onnxruntime-node 1.30's own build of the provider links to: said where there is no provider that could be asked. */
export const USUAL_LIBRARIES = [
  'libcublasLt.so.13',
  'libcublas.so.13',
  'libcurand.so.10',
  'libcudart.so.13',
  'libcuda.so.1',
];

/** Opened when an operator first uses them, by the major version of the CUDA runtime. */
const LATER: Readonly<Record<string, readonly string[]>> = {
  '12': ['libcudnn.so.9', 'libcufft.so.11'],
  '13': ['libcudnn.so.9', 'libcufft.so.12'],
};

/** How each tells its version: the symbol, and the kind of function (native/cuda_runtime.h). */
const VERSIONS: Readonly<Record<string, readonly [string, number]>> = {
  libcuda: ['cuDriverGetVersion', VERSION_QUERY.number],
  libcudart: ['cudaRuntimeGetVersion', VERSION_QUERY.number],
  libcublas: ['cublasGetProperty', VERSION_QUERY.property],
  libcublasLt: ['cublasLtGetProperty', VERSION_QUERY.property],
  libcurand: ['curandGetProperty', VERSION_QUERY.property],
  libcufft: ['cufftGetProperty', VERSION_QUERY.property],
  libcudnn: ['cudnnGetProperty', VERSION_QUERY.property],
};

/**
 * Opens them, which they would be anyway.
 * @param needed the sonames of a provider's dynamic section
 */
export function findCudaLibraries(binding: Binding, needed: readonly string[]): CudaLibrary[] {
  const ours = needed.filter((soname) => Object.hasOwn(VERSIONS, stem(soname)));
  const later = LATER[cudaMajor(ours)] ?? [];
  return [
    ...ours.map((soname) => find(binding, soname, 'provider')),
    ...later.filter((soname) => !ours.includes(soname)).map((soname) => find(binding, soname, 'operators')),
  ];
}

/** The major version of CUDA that these libraries are of. */
export function cudaMajor(sonames: readonly string[]): string {
  return major(sonames.find((soname) => stem(soname) === 'libcudart') ?? '');
}

function find(binding: Binding, soname: string, neededBy: CudaLibrary['neededBy']): CudaLibrary {
  const found = open(binding, soname);
  if ('path' in found) return { soname, neededBy, ...found, error: undefined, others: [] };
  const others = neighbours(soname).flatMap((other) => {
    const instead = open(binding, other);
    return 'path' in instead ? [{ soname: other, version: instead.version }] : [];
  });
  return { soname, neededBy, path: undefined, version: undefined, error: found.error, others };
}

function open(binding: Binding, soname: string): { path: string; version: string | undefined } | { error: string } {
  const [symbol, query] = VERSIONS[stem(soname)]!;
  try {
    const { path, version } = binding.openLibrary(soname, query, symbol);
    return { path, version: version || undefined };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

/** The two majors before, and the one after. */
function neighbours(soname: string): string[] {
  const own = Number(major(soname));
  return [own - 1, own - 2, own + 1].filter((other) => other > 1).map((other) => `${stem(soname)}.so.${other}`);
}

function stem(soname: string): string {
  return soname.split('.so', 1)[0]!;
}

function major(soname: string): string {
  return /\.so\.(\d+)/.exec(soname)?.[1] ?? '';
}
