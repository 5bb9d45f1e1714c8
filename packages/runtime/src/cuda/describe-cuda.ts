// What there is of CUDA on this machine, and what keeps sessions from using it.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { addonState } from '../addon.js';
import type { NativeCudaDevice } from '../binding.js';
import { type CudaLibrary, cudaMajor, findCudaLibraries, USUAL_LIBRARIES } from './libraries.js';
import { cudaProviderFolder, PROVIDER_FILES, PROVIDER_VARIABLE } from './provider-folder.js';
import { neededLibraries } from './shared-object.js';

export interface CudaDescription {
  /** Whether sessions can use CUDA. */
  readonly usable: boolean;
  /** What keeps them from it: what was found, what is needed, what to do; a line each. */
  readonly problems: readonly string[];
  /** ONNX Runtime's execution provider: its folder, and the files that it lacks. */
  readonly provider: { readonly folder: string | undefined; readonly missing: readonly string[] };
  /** What the provider needs; where there is no provider, what that of the installed onnxruntime-node would. */
  readonly libraries: readonly CudaLibrary[];
  readonly devices: readonly CudaDevice[];
}

/** A GPU: its name, its memory in bytes, and its compute capability, such as `9.0`. */
export type CudaDevice = NativeCudaDevice;

let usable: CudaDescription | undefined;

/** Opens the libraries to find out. Never throws. What cannot be used is looked for again at the next call. */
export function describeCuda(): CudaDescription {
  if (usable !== undefined) return usable;
  const found = describe();
  if (found.usable) usable = found;
  return found;
}

function describe(): CudaDescription {
  const state = addonState();
  if (state.status === 'unavailable') {
    const problem = `the native addon is needed for CUDA: ${state.error.message}`;
    return {
      usable: false,
      problems: [problem],
      provider: { folder: undefined, missing: [] },
      libraries: [],
      devices: [],
    };
  }
  const { binding, library } = state.addon;
  const folder = cudaProviderFolder(library.path);
  const missing = PROVIDER_FILES.filter((file) => !existsSync(join(folder, file)));
  const problems: string[] = [];
  let needed = USUAL_LIBRARIES;
  if (missing.length > 0) {
    problems.push(
      `ONNX Runtime ${library.version} has no CUDA provider: ${missing.join(' and ')} not in ${folder}. Put there those of the same version ` +
        `(PyPI: onnxruntime-gpu==${library.version}, folder onnxruntime/capi), or name their folder by ${PROVIDER_VARIABLE}`,
    );
  } else {
    if (library.wasMapped && folder !== dirname(library.path)) {
      problems.push(
        `${PROVIDER_VARIABLE}=${folder} comes too late: onnxruntime-node had loaded ONNX Runtime before, from ${dirname(library.path)}. Import @ort-dora/runtime first`,
      );
    }
    try {
      needed = neededLibraries(join(folder, PROVIDER_FILES[0]));
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  const libraries = findCudaLibraries(binding, needed);
  problems.push(...libraryProblems(libraries));
  let devices: readonly CudaDevice[] = [];
  if (libraries.some(({ soname, path }) => soname === 'libcuda.so.1' && path !== undefined)) {
    try {
      devices = binding.cudaDevices();
      if (devices.length === 0) problems.push('there is no GPU that CUDA can use (CUDA_VISIBLE_DEVICES may hide it)');
    } catch (error) {
      problems.push(`there is no GPU that CUDA can use: ${(error as Error).message}`);
    }
  }
  if (problems.length === 0) {
    // ONNX Runtime has the last word, and prints an error of its own where it fails.
    try {
      binding.tryProvider('cuda');
    } catch (error) {
      problems.push((error as Error).message);
    }
  }
  return { usable: problems.length === 0, problems, provider: { folder, missing }, libraries, devices };
}

/** The oldest driver for each major version of CUDA. */
const DRIVERS: Readonly<Record<string, string>> = { '12': '525', '13': '580' };

function libraryProblems(libraries: readonly CudaLibrary[]): string[] {
  const cuda = cudaMajor(libraries.map(({ soname }) => soname));
  const problems: string[] = [];
  const lacking = libraries.filter(({ error, neededBy }) => error !== undefined && neededBy === 'provider');
  const ofDriver = lacking.find(({ soname }) => soname === 'libcuda.so.1');
  const ofCuda = lacking.filter((library) => library !== ofDriver);
  if (ofDriver !== undefined) {
    problems.push(`NVIDIA's driver is missing: ${ofDriver.error}. Install ${DRIVERS[cuda] ?? 'a newer one'} or newer`);
  }
  if (ofCuda.length > 0) {
    const found = ofCuda
      .flatMap(({ others }) => others)
      .map(({ soname, version }) => (version === undefined ? soname : `${soname} (${version})`));
    problems.push(
      `libraries of CUDA ${cuda} are needed: ${ofCuda.map(({ soname }) => soname).join(', ')}; found ${found.join(', ') || 'none'}. ` +
        `Install CUDA ${cuda} and have its libraries on LD_LIBRARY_PATH (${ofCuda[0]!.error})`,
    );
  }
  const driver = libraries.find(({ soname }) => soname === 'libcuda.so.1');
  if (driver?.version !== undefined && Number.parseInt(driver.version, 10) < Number(cuda)) {
    problems.push(
      `NVIDIA's driver knows CUDA ${driver.version}, CUDA ${cuda} is needed. Install driver ${DRIVERS[cuda] ?? 'of that CUDA'} or newer`,
    );
  }
  return problems;
}
