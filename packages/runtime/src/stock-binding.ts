// The native binding inside onnxruntime-node, typed as far as it is used here. Its public API has asynchronous runs only (which block the
// event loop all the same), so runSync needs this. onnxruntime-node is pinned to one version for it.
import { createRequire } from 'node:module';
import { RuntimeError } from './errors.js';

export interface StockTensor {
  readonly type: string;
  readonly data: ArrayBufferView | readonly string[];
  readonly dims: readonly number[];
}

export interface StockInferenceSession {
  loadModel(path: string, options: object): void;
  loadModel(buffer: ArrayBufferLike, offset: number, length: number, options: object): void;
  readonly inputMetadata: readonly StockValueInfo[];
  readonly outputMetadata: readonly StockValueInfo[];
  run(
    feeds: Readonly<Record<string, StockTensor>>,
    fetches: Readonly<Record<string, null>>,
    options: object,
  ): Record<string, StockTensor>;
  endProfiling(): void;
  dispose(): void;
}

export interface StockValueInfo {
  readonly name: string;
  readonly isTensor: boolean;
  readonly type?: number;
  /** −1 where symbolic. */
  readonly shape?: readonly number[];
  readonly symbolicDimensions?: readonly string[];
}

export interface StockBinding {
  readonly InferenceSession: new () => StockInferenceSession;
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => StockTensor;
  providers(): string[];
}

const require = createRequire(import.meta.url);
let loaded: StockBinding | undefined;

/** @throws RuntimeError NOT_SUPPORTED where onnxruntime-node has no binary for this machine */
export function stockBinding(): StockBinding {
  loaded ??= load();
  return loaded;
}

export function stockVersion(): string {
  return (require('onnxruntime-node/package.json') as { version: string }).version;
}

function load(): StockBinding {
  // ONNX Runtime's telemetry stays off unless somebody asked for it, as in the addon (native/ort_library.cc).
  process.env.ORT_DISABLE_TELEMETRY ??= '1';
  try {
    const inner = require('onnxruntime-node/dist/binding.js') as {
      initOrt(): void;
      binding: Pick<StockBinding, 'InferenceSession'> & { listSupportedBackends(): { name: string }[] };
    };
    inner.initOrt();
    const { Tensor } = require('onnxruntime-common') as Pick<StockBinding, 'Tensor'>;
    return {
      InferenceSession: inner.binding.InferenceSession,
      Tensor,
      providers: () => inner.binding.listSupportedBackends().map(({ name }) => name),
    };
  } catch (cause) {
    const message = `onnxruntime-node cannot be loaded on ${process.platform}-${process.arch}: ${(cause as Error).message}`;
    throw new RuntimeError('NOT_SUPPORTED', message, { cause });
  }
}
