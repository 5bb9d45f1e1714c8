// The native addon's exports, typed: native/addon.cc, native/native_session.cc, native/native_tensor.cc.

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
  dispose(): void;
}

export interface NativeRunOptions {
  readonly config?: Readonly<Record<string, string>> | undefined;
  readonly tag?: string | undefined;
  readonly logSeverityLevel?: number | undefined;
  readonly device?: string | undefined;
}

export interface NativeSessionHandle {
  readonly inputs: NativeValueInfo[];
  readonly outputs: NativeValueInfo[];
  /** `id[0]` receives the number for `cancel()`. */
  run(feeds: readonly Cell[], fetches: readonly Cell[], options?: NativeRunOptions, id?: number[]): Promise<Cell[]>;
  runSync(feeds: readonly Cell[], fetches: readonly Cell[], options?: NativeRunOptions): Cell[];
  endProfiling(): string;
  dispose(): Promise<void>;
}

/** As native/session_config.h reads it. */
export interface NativeSessionConfig {
  readonly opsLibraries: readonly string[];
  readonly providers?: readonly { readonly name: string; readonly options?: Readonly<Record<string, string>> }[];
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

export interface Binding {
  readonly NativeTensorHandle: {
    fromData(type: number, data: ArrayBufferView | readonly string[], dims: readonly number[]): NativeTensorHandle;
  };
  readonly NativeSessionHandle: {
    create(
      model: string | Uint8Array,
      config: NativeSessionConfig,
    ): { promise: Promise<NativeSessionHandle>; id: number };
  };
  /** Idempotent for one file; throws for a second one: a process has one ONNX Runtime. */
  load(path: string): LoadedLibrary;
  providers(): string[];
  /** Throws why the library cannot be registered. */
  tryOpsLibrary(path: string): void;
  cancel(id: number): boolean;
  /** For the main thread's exit event: cancels what runs in the whole process and waits for it; nothing runs afterwards. */
  settleBeforeExit(): void;
}
