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

  /** Loading is over and there is something to serve. */
  get ready(): boolean {
    return this.#loaded && this.list().some(({ state }) => state.status === 'ready');
  }

  /** Loads one model after the other. Throws ServerError MODEL_FAILED. */
  async load({ session, allowFailedModels, logger }: LoadOptions): Promise<void> {
    const failures: string[] = [];
    for (const model of this.#models.values()) {
      const since = performance.now();
      const state = await model.load(session);
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
    if (failures.length > 0 && (!allowFailedModels || failures.length === this.#models.size)) {
      throw new ServerError('MODEL_FAILED', `cannot load ${failures.join('; ')}`);
    }
    this.#loaded = true;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.list().map((model) => model.dispose()));
  }
}
