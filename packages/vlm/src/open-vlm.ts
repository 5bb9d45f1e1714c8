// Opening: a folder, or several variants of one model that share what is equal.
import { createSession, type Session, type SessionOptions } from '@ort-dora/runtime';
import { unexpected, VlmError } from './errors.js';
import { readImageSettings } from './folder/image-settings.js';
import { ModelFolder } from './folder/model-folder.js';
import { readModelSettings } from './folder/model-settings.js';
import { sameGraph } from './folder/same-graph.js';
import { Decoder } from './generation/decoder.js';
import { Embeddings } from './generation/embeddings.js';
import type { Limits } from './generation/engine.js';
import { VisionEncoder } from './generation/vision-encoder.js';
import { ChatTemplate } from './text/chat-template.js';
import { PromptBuilder } from './text/prompt.js';
import { Tokenizer } from './text/tokenizer.js';
import { Vlm } from './vlm.js';

export interface GraphNames {
  /** The file onnx/<name>.onnx. Default `vision_encoder`. */
  readonly vision?: string;
  /** Default `embed_tokens`. */
  readonly embeddings?: string;
  /** Default `decoder_model_merged`. */
  readonly decoder?: string;
}

export interface OpenOptions {
  /** For every session: threads, providers, custom operators. */
  readonly session?: Omit<SessionOptions, 'signal'>;
  /** Defaults: 20 MB and 40 megapixels a picture, 16 pictures a conversation. */
  readonly limits?: Partial<Limits>;
  /** Aborts the opening. */
  readonly signal?: AbortSignal;
}

export interface OpenVlmOptions extends OpenOptions {
  readonly graphs?: GraphNames;
}

export interface VlmVariant {
  /** Unique among the variants. */
  readonly name: string;
  /** In the layout of transformers.js. */
  readonly folder: string;
  readonly graphs?: GraphNames;
}

/** Variants of one model, by name. */
export interface VlmVariants {
  readonly models: ReadonlyMap<string, Vlm>;
  /** How many graphs are loaded: three a variant, less those that are shared. */
  readonly sessions: number;
  /** Disposes of all variants. */
  dispose(): Promise<void>;
}

const DEFAULT_LIMITS: Limits = { maxBytes: 20 << 20, maxPixels: 40_000_000, maxImages: 16 };

/**
 * Opens a model of the Idefics3 or SmolVLM architecture in the layout of transformers.js.
 * @throws VlmError FOLDER_INVALID, MODEL_UNSUPPORTED, INVALID_ARGUMENT; RuntimeError where a graph cannot be loaded
 */
export async function openVlm(folder: string, options: OpenVlmOptions = {}): Promise<Vlm> {
  const { graphs = {}, ...rest } = options;
  const opening = new Opening(rest);
  try {
    return await opening.variant({ name: 'model', folder, graphs }, true);
  } catch (error) {
    await opening.dispose();
    throw error;
  }
}

/**
 * Opens variants that differ in some graph, such as a base, its adapter, and the adapter rewritten. A graph that is the same file, or has
 * the same content, is loaded once; usually these are the vision encoder and the embeddings.
 * @throws as openVlm; then nothing stays open
 */
export async function openVariants(variants: readonly VlmVariant[], options: OpenOptions = {}): Promise<VlmVariants> {
  if (!Array.isArray(variants) || variants.length === 0) throw unexpected('variants', 'a non-empty array', variants);
  const opening = new Opening(options);
  const models = new Map<string, Vlm>();
  try {
    for (const variant of variants) {
      if (models.has(variant.name)) throw unexpected('variants', 'names that differ', variant.name);
      models.set(variant.name, await opening.variant(variant, false));
    }
  } catch (error) {
    await opening.dispose();
    throw error;
  }
  const dispose = async () => {
    for (const model of models.values()) await model.dispose();
    await opening.dispose();
  };
  return { models, sessions: opening.sessions, dispose };
}

/** The sessions opened so far, by the files that they came from. */
class Opening {
  readonly #options: OpenOptions;
  readonly #limits: Limits;
  readonly #loaded: { readonly path: string; readonly session: Session }[] = [];

  constructor(options: OpenOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    for (const [name, limit] of Object.entries(this.#limits)) {
      if (!Number.isSafeInteger(limit) || limit < 0)
        throw unexpected(`limits.${name}`, 'an integer of at least 0', limit);
    }
  }

  get sessions(): number {
    return this.#loaded.length;
  }

  /** @param owns whether disposing of the model disposes of its sessions */
  async variant({ name, folder: path, graphs = {} }: VlmVariant, owns: boolean): Promise<Vlm> {
    const folder = await ModelFolder.open(path);
    const settings = await readModelSettings(folder);
    const imageSettings = await readImageSettings(folder);
    if (imageSettings.tileSide !== settings.imageSide) {
      throw new VlmError(
        'FOLDER_INVALID',
        `${folder.path}: the image processor makes tiles of ${imageSettings.tileSide} pixels, the vision encoder of config.json takes ${settings.imageSide}`,
      );
    }
    const tokenizerConfig = await folder.json('tokenizer_config.json');
    const tokenizer = new Tokenizer(await folder.json('tokenizer.json'), tokenizerConfig);
    const prompts = new PromptBuilder(tokenizer, await ChatTemplate.read(folder, tokenizerConfig), settings);
    const { vision = 'vision_encoder', embeddings = 'embed_tokens', decoder = 'decoder_model_merged' } = graphs;
    const { hiddenSize, tokensPerTile } = settings;
    const engine = {
      settings,
      imageSettings,
      limits: this.#limits,
      tokenizer,
      prompts,
      vision: new VisionEncoder(await this.#session(await folder.graph(vision)), hiddenSize, tokensPerTile),
      embeddings: new Embeddings(await this.#session(await folder.graph(embeddings)), hiddenSize),
      decoder: new Decoder(await this.#session(await folder.graph(decoder)), hiddenSize),
    };
    return new Vlm(name, folder.path, engine, owns ? () => this.dispose() : async () => {});
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#loaded.map(({ session }) => session.dispose()));
  }

  async #session(path: string): Promise<Session> {
    for (const loaded of this.#loaded) if (await sameGraph(loaded.path, path)) return loaded.session;
    const { session: options, signal } = this.#options;
    // The optimiser's warnings help nobody who asks questions.
    const session = await createSession(path, { logSeverityLevel: 3, ...options, ...(signal && { signal }) });
    this.#loaded.push({ path, session });
    return session;
  }
}
