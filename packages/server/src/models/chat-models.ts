/** The vision-language models of a server, by the id that chat requests name. */
import { openVariants, type Vlm, type VlmVariants } from '@ort-dora/vlm';
import { ServerError } from '../errors.js';
import type { ChatVariant } from './chat-variants.js';
import type { LoadOptions } from './repository.js';

export interface ChatLoadOptions extends LoadOptions {
  readonly maxImagePixels: number;
  readonly maxImages: number;
}

export type ChatState =
  | { readonly status: 'loading' }
  | { readonly status: 'ready'; readonly vlm: Vlm }
  | { readonly status: 'unavailable' };

export class ChatModel {
  readonly name: string;
  /** When the model was found, in ms since 1970. */
  readonly created = Date.now();
  state: ChatState = { status: 'loading' };

  constructor({ name }: ChatVariant) {
    this.name = name;
  }
}

export class ChatModels {
  readonly #variants: readonly ChatVariant[];
  readonly #models: ReadonlyMap<string, ChatModel>;
  readonly #disposed = new AbortController();
  #opened: VlmVariants[] = [];
  #loading: Promise<void> = Promise.resolve();
  #loaded = false;

  constructor(variants: readonly ChatVariant[]) {
    this.#variants = variants;
    this.#models = new Map(variants.map((variant) => [variant.name, new ChatModel(variant)]));
  }

  get(name: string): ChatModel | undefined {
    return this.#models.get(name);
  }

  list(): ChatModel[] {
    return [...this.#models.values()];
  }

  /** Loading is over; what could not be loaded is `unavailable`. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Throws ServerError MODEL_FAILED, or CLOSED when it is disposed meanwhile. */
  load(options: ChatLoadOptions): Promise<void> {
    this.#loading = this.#load(options);
    return this.#loading;
  }

  async #load(options: ChatLoadOptions): Promise<void> {
    if (this.#variants.length > 0) {
      try {
        // All at once, so that graphs which variants have in common are loaded once.
        await this.#open(this.#variants, options);
      } catch (error) {
        this.#throwIfDisposed();
        if (!options.allowFailedModels) {
          throw new ServerError('MODEL_FAILED', `cannot load a chat model: ${(error as Error).message}`, {
            cause: error,
          });
        }
        await this.#openWhatOpens(options);
      }
    }
    this.#loaded = true;
  }

  async #openWhatOpens(options: ChatLoadOptions): Promise<void> {
    for (const variant of this.#variants) {
      try {
        await this.#open([variant], options);
      } catch (error) {
        this.#throwIfDisposed();
        this.#models.get(variant.name)!.state = { status: 'unavailable' };
        const { path } = variant;
        options.logger.error({ model: variant.name, path, reason: (error as Error).message }, 'model cannot be loaded');
      }
    }
  }

  async #open(
    variants: readonly ChatVariant[],
    { session, maxImagePixels, maxImages, logger }: ChatLoadOptions,
  ): Promise<void> {
    const since = performance.now();
    const { signal: _signal, ...rest } = session ?? {};
    const opened = await openVariants(
      variants.map(({ name, folder, decoder }) => ({ name, folder, graphs: { decoder } })),
      { session: rest, limits: { maxPixels: maxImagePixels, maxImages }, signal: this.#disposed.signal },
    );
    this.#opened.push(opened);
    this.#throwIfDisposed();
    for (const [name, vlm] of opened.models) this.#models.get(name)!.state = { status: 'ready', vlm };
    const ms = Math.round(performance.now() - since);
    logger.info({ models: [...opened.models.keys()], sessions: opened.sessions, ms }, 'chat models loaded');
  }

  #throwIfDisposed(): void {
    if (this.#disposed.signal.aborted) {
      throw new ServerError('CLOSED', 'the server was closed while its models were loading');
    }
  }

  /** Stops loading and frees the models. No answer may be under way any more. */
  async dispose(): Promise<void> {
    this.#disposed.abort();
    await Promise.allSettled([this.#loading]);
    for (const model of this.list()) model.state = { status: 'unavailable' };
    await Promise.all(this.#opened.splice(0).map((variants) => variants.dispose()));
  }
}
