// The native addon's exports, typed: native/addon.cc, native/native_session.cc, native/native_bound_run.cc, native/native_tensor.cc.

/**
 * A value crosses the boundary as three cells of a flat array: `[type code, data, dims]`, or `[HANDLE, handle, null]` for a
 * native tensor. In fetches, `[FETCH.…, null, null]` asks for an output that is allocated by the run.
 */
export type Cell =
  | number
  | ArrayBufferView
  | readonly string[]
  | readonly number[]
  | NativeTensorHandle
  | null
  | undefined;

export const HANDLE = -1;
export const FETCH = { skip: 0, data: 1, native: 2 } as const;

export interface NativeValueInfo {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: number;
  readonly shape?: readonly (number | string)[];
}

export interface NativeTensorHandle {
  readonly type: number;
  readonly dims: number[];
  readonly device: string;
  readonly disposed: boolean;
  data(): ArrayBufferView | string[];
  /** `offset` in bytes. */
  view(offset: number, type: number, dims: readonly number[]): NativeTensorHandle;
  /** The cells of a value. */
  copyFrom(...cells: readonly Cell[]): Promise<void>;
  copyFromSync(...cells: readonly Cell[]): void;
  read(): Promise<ArrayBufferView>;
  readSync(): ArrayBufferView;
  dispose(): void;
}

export interface NativeRunOptions {
  readonly config?: Readonly<Record<string, string>> | undefined;
  readonly tag?: string | undefined;
  readonly logSeverityLevel?: number | undefined;
  readonly device?: string | undefined;
}

export interface NativeBoundRunHandle {
  /** `id[0]` receives the number for `cancel()`. */
  run(options?: NativeRunOptions, id?: number[]): Promise<void>;
  runSync(options?: NativeRunOptions): void;
  dispose(): void;
}

export interface NativeSessionHandle {
  readonly inputs: NativeValueInfo[];
  readonly outputs: NativeValueInfo[];
  /** `id[0]` receives the number for `cancel()`. */
  run(feeds: readonly Cell[], fetches: readonly Cell[], options?: NativeRunOptions, id?: number[]): Promise<Cell[]>;
  runSync(feeds: readonly Cell[], fetches: readonly Cell[], options?: NativeRunOptions): Cell[];
  bind(
    feeds: readonly NativeTensorHandle[],
    fetches: readonly (NativeTensorHandle | null)[],
    graph: boolean,
  ): NativeBoundRunHandle;
  endProfiling(): string;
  dispose(): Promise<void>;
}

/** As native/session_config.h reads it. */
export interface NativeSessionConfig {
  readonly opsLibraries: readonly string[];
  readonly providers?: readonly { readonly name: string; readonly options?: Readonly<Record<string, string>> }[];
  readonly initializers?: Readonly<Record<string, NativeTensorHandle>>;
  readonly configEntries?: Readonly<Record<string, string>>;
  readonly freeDimensionOverrides?: Readonly<Record<string, number>>;
  readonly intraOpNumThreads?: number;
  readonly interOpNumThreads?: number;
  readonly executionMode?: string;
  readonly graphOptimizationLevel?: string;
  readonly enableCpuMemArena?: boolean;
  readonly enableMemPattern?: boolean;
  readonly logSeverityLevel?: number;
  readonly logId?: string;
  readonly optimizedModelFilePath?: string;
  readonly profileFilePrefix?: string;
}

export interface LoadedLibrary {
  /** The mapped file, symlinks resolved. */
  readonly path: string;
  readonly version: string;
  /** Whether it was in the process before the addon asked for it. */
  readonly wasMapped: boolean;
}

/** VersionQuery of native/cuda_runtime.h. */
export const VERSION_QUERY = { none: 0, number: 1, property: 2 } as const;

export interface NativeCudaDevice {
  readonly name: string;
  readonly memory: number;
  readonly computeCapability: string;
}

export interface Binding {
  readonly NativeTensorHandle: {
    /** Zeros. */
    allocate(type: number, dims: readonly number[], device: string): NativeTensorHandle;
    fromData(type: number, data: ArrayBufferView | readonly string[], dims: readonly number[]): NativeTensorHandle;
  };
  readonly NativeSessionHandle: {
    create(
      model: string | Uint8Array,
      config: NativeSessionConfig,
    ): { promise: Promise<NativeSessionHandle>; id: number };
  };
  /**
   * Idempotent for one file; throws for a second one: a process has one ONNX Runtime.
   * @param as a link to the file, in the folder where the libraries of its providers are
   */
  load(path: string, as?: string): LoadedLibrary;
  providers(): string[];
  /** Throws why the library cannot be registered. */
  tryOpsLibrary(path: string): void;
  /** Throws why the provider cannot be used. */
  tryProvider(name: string): void;
  /** Throws why the library cannot be opened. `version` is empty if it does not tell. */
  openLibrary(soname: string, query: number, symbol: string): { readonly path: string; readonly version: string };
  /** Throws why the driver tells none. */
  cudaDevices(): NativeCudaDevice[];
  /** Bytes. */
  cudaMemory(device: number): { readonly free: number; readonly total: number };
  /** `parts`: an offset in bytes and a tensor to fill, and so on; all on one device. */
  readFile(path: string, parts: readonly (number | NativeTensorHandle)[]): Promise<void>;
  cancel(id: number): boolean;
  /** For the main thread's exit event: cancels what runs in the whole process and waits for it; nothing runs afterwards. */
  settleBeforeExit(): void;
}
