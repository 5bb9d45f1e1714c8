/** One served model: its file, its state, and the session once it is loaded. */
import {
  createSession,
  type ElementType,
  type Feeds,
  type Session,
  type SessionOptions,
  type TensorData,
  type ValueInfo,
} from '@ort-dora/runtime';
import type { ModelFile } from './discovery.js';

/** Packed 4-bit types have no representation in the protocols served here. */
export type ServableType = Exclude<ElementType, 'uint4' | 'int4'>;

/** An input or output; a dimension is a length or the name of a symbolic one. */
export interface TensorSpec {
  readonly name: string;
  readonly type: ServableType;
  readonly shape: readonly (number | string)[];
}

export interface LoadedModel {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly backend: Session['backend'];
  /** @throws RuntimeError; the signal's reason once it is aborted */
  run(
    feeds: Feeds,
    options: { readonly fetches: readonly string[]; readonly signal: AbortSignal },
  ): Promise<Record<string, TensorData>>;
}

export type ModelState =
  | { readonly status: 'loading' }
  | { readonly status: 'ready'; readonly loaded: LoadedModel }
  | { readonly status: 'unavailable'; readonly reason: string };

export class ServedModel {
  readonly name: string;
  readonly path: string;
  #state: ModelState = { status: 'loading' };
  #session: Session | undefined;

  constructor(file: ModelFile) {
    this.name = file.name;
    this.path = file.path;
  }

  get state(): ModelState {
    return this.#state;
  }

  /** Never rejects: a model that cannot be loaded is `unavailable`, with the reason. */
  async load(options: SessionOptions = {}): Promise<ModelState> {
    try {
      const session = await createSession(this.path, options);
      this.#session = session;
      const loaded: LoadedModel = {
        inputs: session.inputs.map((info) => tensorSpec('input', info)),
        outputs: session.outputs.map((info) => tensorSpec('output', info)),
        backend: session.backend,
        run: (feeds, runOptions) => session.run(feeds, runOptions),
      };
      this.#state = { status: 'ready', loaded };
    } catch (error) {
      this.#state = { status: 'unavailable', reason: (error as Error).message };
      await this.#release();
    }
    return this.#state;
  }

  /** Waits for the runs in flight and frees the session. */
  async dispose(): Promise<void> {
    this.#state = { status: 'unavailable', reason: 'unloaded' };
    await this.#release();
  }

  async #release(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.dispose();
  }
}

function tensorSpec(kind: 'input' | 'output', info: ValueInfo): TensorSpec {
  if (!info.isTensor) throw new Error(`${kind} "${info.name}" is not a tensor and cannot be served over HTTP`);
  const { name, type, shape } = info;
  if (type === 'uint4' || type === 'int4')
    throw new Error(`${kind} "${name}" has type ${type}, which cannot be served over HTTP`);
  return { name, type, shape };
}
