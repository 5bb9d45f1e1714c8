/** Builds native code on the user's machine from package registries alone. See index.js and the files it exports from. */

/** What could not be built or fetched; `message` ends with `remedy`, a command or a setting that mends it. */
export class NativeBuildError extends Error {
  constructor(message: string, options?: { remedy?: string; cause?: unknown });
  readonly remedy: string | undefined;
}

/** The folder for what is fetched: `$XDG_CACHE_HOME/ort-dora`, else `~/.cache/ort-dora`. It need not exist yet. */
export function cacheFolder(): string;

/** Runs `work` while no other process holds the lock folder `path`; a lock whose holder died is taken over after 20 s. */
export function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options?: { timeoutMs?: number; onWait?: () => void },
): Promise<T>;

/** The tools that a build needs and this machine lacks, each with the command that installs it. */
export function missingTools(): { tool: string; package: string; install: string }[];

/** Unpacks a Debian package (of the machine's own suite, or of `suite`) into the cache; returns the folder that stands for `/`. */
export function debianPackage(
  name: string,
  options?: { suite?: string; log?: (line: string) => void },
): Promise<string>;

/**
 * The path of nvcc 12.8 or newer: `ORT_DORA_NVCC`, that of `CUDA_HOME`, of the PATH or of /usr/local/cuda, else NVIDIA's
 * packages from PyPI, unpacked in the cache.
 */
export function cudaCompiler(options?: { log?: (line: string) => void }): Promise<string>;

/** The architectures to compile for: `ORT_DORA_CUDA_ARCHITECTURES` (`none`: none), else those of this machine's NVIDIA GPUs. */
export function cudaArchitectures(): string[];

/** A folder with `onnxruntime_cxx_api.h` of API 23 or newer: `ORT_INCLUDE_DIR`, the system's, or Debian's, fetched. */
export function ortHeaders(options?: { log?: (line: string) => void }): Promise<string>;

/** Configures and builds a CMake project, unless inputs, options and compiler are those of the last build. */
export function buildWithCMake(request: {
  /** The folder of CMakeLists.txt. */
  source: string;
  /** The build folder. */
  build: string;
  /** Default: everything. */
  target?: string;
  /** CMake cache entries; `CMAKE_BUILD_TYPE` is Release unless given. */
  options?: Readonly<Record<string, string>>;
  /** Files and folders, relative to `source`, whose bytes decide whether to build again; default: the whole folder. */
  inputs?: readonly string[];
  /** Progress, one short line at a time. */
  log?: (line: string) => void;
}): Promise<{ rebuilt: boolean }>;
