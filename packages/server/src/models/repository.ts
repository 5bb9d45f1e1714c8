/** The models of a server, by name. */
import type { SessionOptions } from '@ort-dora/runtime';
import type { Logger } from 'pino';
import { ServerError } from '../errors.js';
import type { ModelFile } from './discovery.js';
import { ServedModel } from './model.js';

export interface LoadOptions {
  readonly session?: SessionOptions | undefined;
  readonly allowFailedModels: boolean;
  readonly logger: Logger;
}

export class ModelRepository {
  readonly #models: ReadonlyMap<string, ServedModel>;
  readonly #disposed = new AbortController();
  #loading: Promise<void> = Promise.resolve();
  #loaded = false;

  constructor(files: readonly ModelFile[]) {
    this.#models = new Map(files.map((file) => [file.name, new ServedModel(file)]));
  }

  get(name: string): ServedModel | undefined {
    return this.#models.get(name);
  }

  list(): ServedModel[] {
    return [...this.#models.values()];
  }

  /** Loading is over; what could not be loaded is `unavailable`. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Loads one model after the other. Throws ServerError MODEL_FAILED, or CLOSED when it is disposed meanwhile. */
  load(options: LoadOptions): Promise<void> {
    this.#loading = this.#load(options);
    return this.#loading;
  }

  async #load({ session, allowFailedModels, logger }: LoadOptions): Promise<void> {
    const { signal } = this.#disposed;
    const failures: string[] = [];
    for (const model of this.#models.values()) {
      const since = performance.now();
      const state = await model.load({ ...session, signal });
      if (signal.aborted) throw new ServerError('CLOSED', 'the server was closed while its models were loading');
      if (state.status === 'ready') {
        const { backend } = state.loaded;
        logger.info({ model: model.name, backend, ms: Math.round(performance.now() - since) }, 'model loaded');
        if (backend !== 'addon') {
          logger.warn(
            { model: model.name },
            'running on stock onnxruntime-node: requests are computed on the event loop',
          );
        }
      } else if (state.status === 'unavailable') {
        logger.error({ model: model.name, path: model.path, reason: state.reason }, 'model cannot be loaded');
        failures.push(`${model.path}: ${state.reason}`);
      }
    }
    if (failures.length > 0 && !allowFailedModels) {
      throw new ServerError('MODEL_FAILED', `cannot load ${failures.join('; ')}`);
    }
    this.#loaded = true;
  }

  /** Stops loading, waits for the runs in flight, and frees the models. */
  async dispose(): Promise<void> {
    this.#disposed.abort();
    await Promise.allSettled([this.#loading]);
    await Promise.all(this.list().map((model) => model.dispose()));
  }
}
