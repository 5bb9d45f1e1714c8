/**
 * The path of the built operator library: the environment variable ORT_DORA_OPS_LIBRARY, else the file that the install
 * script or `npm run build` made. Undefined when there is neither: rewritten models then run through their function bodies.
 * Throws when ORT_DORA_OPS_LIBRARY names a file that does not exist.
 */
export function opsLibraryPath(): string | undefined;

/**
 * The path of the built library that has the CUDA kernels beside the CPU's: the environment variable
 * ORT_DORA_CUDA_OPS_LIBRARY, else the file that the install script or `npm run build` made. Undefined when there is neither.
 * Sessions that use CUDA register it in the place of opsLibraryPath()'s: one session takes one library of a domain.
 * Throws when ORT_DORA_CUDA_OPS_LIBRARY names a file that does not exist.
 */
export function cudaOpsLibraryPath(): string | undefined;
