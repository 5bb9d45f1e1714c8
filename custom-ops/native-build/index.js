/**
 * Builds native code on the user's machine from package registries alone: used by the operator library and by the
 * runtime's addon. Debian packages come through apt as the machine configures it (mirrors, proxies, keys), unpacked in
 * a cache folder and never installed, so that root is not needed. Everything is asynchronous and works without a terminal.
 */
export { cacheFolder, withLock } from './cache.js';
export { buildWithCMake, missingTools } from './cmake.js';
export { debianPackage } from './debian.js';
export { NativeBuildError } from './error.js';
export { cudaArchitectures, cudaCompiler } from './nvcc.js';
export { ortHeaders } from './ort-headers.js';
