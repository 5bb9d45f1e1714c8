import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * The path of the built operator library: the environment variable ORT_DORA_OPS_LIBRARY, else the file that the install
 * script or `npm run build` made. Undefined when there is neither: rewritten models then run through their function bodies.
 * @returns {string | undefined}
 * @throws {Error} when ORT_DORA_OPS_LIBRARY names a file that does not exist
 */
export function opsLibraryPath() {
  return libraryPath('ORT_DORA_OPS_LIBRARY', 'libort_dora_ops.so');
}

/**
 * The path of the built library that has the CUDA kernels beside the CPU's: the environment variable
 * ORT_DORA_CUDA_OPS_LIBRARY, else the file that the install script or `npm run build` made. Undefined when there is neither.
 * Sessions that use CUDA register it in the place of opsLibraryPath()'s: one session takes one library of a domain.
 * @returns {string | undefined}
 * @throws {Error} when ORT_DORA_CUDA_OPS_LIBRARY names a file that does not exist
 */
export function cudaOpsLibraryPath() {
  return libraryPath('ORT_DORA_CUDA_OPS_LIBRARY', 'libort_dora_ops_cuda.so');
}

function libraryPath(variable, file) {
  const named = process.env[variable];
  if (named) {
    if (existsSync(named)) return named;
    throw new Error(`${variable}=${named} does not exist. Name a built ${file}, or unset it.`);
  }
  const built = fileURLToPath(new URL(`build/release/${file}`, import.meta.url));
  return existsSync(built) ? built : undefined;
}
