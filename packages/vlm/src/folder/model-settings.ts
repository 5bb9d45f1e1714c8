// config.json, generation_config.json and processor_config.json: what generation needs to know of a model.
import { VlmError } from '../errors.js';
import type { JsonObject } from './json-object.js';
import type { ModelFolder } from './model-folder.js';

export interface ModelSettings {
  /** The id whose embeddings are replaced by image features. */
  readonly imageTokenId: number;
  /** Image tokens, and feature rows, of one tile. */
  readonly tokensPerTile: number;
  /** The edge of the square that the vision encoder takes, in pixels. */
  readonly imageSide: number;
  /** Tokens of prompt and answer together. */
  readonly contextLength: number;
  readonly hiddenSize: number;
  readonly vocabularySize: number;
  /** Each of these ends an answer. */
  readonly endIds: ReadonlySet<number>;
  /** Fills the left of shorter prompts in a batch. */
  readonly padId: number;
  /** Never generated. */
  readonly suppressedIds: readonly number[];
  readonly defaults: GenerationDefaults;
}

/** What generation_config.json asks for: greedy, unless it says `do_sample`. */
export interface GenerationDefaults {
  readonly temperature: number;
  readonly topP: number;
  /** 0: all. */
  readonly topK: number;
  readonly repetitionPenalty: number;
}

const LARGEST_ID = 2 ** 31 - 1;

/** @throws VlmError FOLDER_INVALID or MODEL_UNSUPPORTED */
export async function readModelSettings(folder: ModelFolder): Promise<ModelSettings> {
  const config = await folder.json('config.json');
  const generation = await folder.optionalJson('generation_config.json');
  const processor = await folder.optionalJson('processor_config.json');
  const type = config.string('model_type');
  if (type !== 'smolvlm' && type !== 'idefics3') {
    throw new VlmError(
      'MODEL_UNSUPPORTED',
      `${folder.path}: model_type ${type} is not supported: expected smolvlm or idefics3`,
    );
  }
  const text = config.object('text_config');
  const vocabularySize = text.integer('vocab_size', 1, LARGEST_ID);
  const id = (file: JsonObject, name: string) => file.integer(name, 0, vocabularySize - 1);
  const vision = config.object('vision_config');
  const imageSide = vision.integer('image_size', 8, 4096);
  const patches = imageSide / vision.integer('patch_size', 1, 256);
  const computed = Math.floor(patches ** 2 / config.integer('scale_factor', 1, 64) ** 2);
  return {
    imageTokenId: id(config, 'image_token_id'),
    tokensPerTile: processor?.or('image_seq_len', (p) => p.integer('image_seq_len', 1, 65536), computed) ?? computed,
    imageSide,
    contextLength: text.or('max_position_embeddings', (t) => t.integer('max_position_embeddings', 2, LARGEST_ID), 2048),
    hiddenSize: text.integer('hidden_size', 1, 65536),
    vocabularySize,
    endIds: new Set(endIds([generation, text, config], vocabularySize)),
    padId:
      [generation, text, config]
        .find((file) => file?.has('pad_token_id'))
        ?.integer('pad_token_id', 0, vocabularySize - 1) ?? 0,
    suppressedIds: generation === undefined ? [] : suppressedIds(generation, vocabularySize),
    defaults: generationDefaults(generation),
  };
}

/** The first file that names them decides, as in transformers. */
function endIds(files: readonly (JsonObject | undefined)[], vocabularySize: number): readonly number[] {
  const ids = files.find((file) => file?.has('eos_token_id'))?.numbers('eos_token_id') ?? [];
  return checkIds(ids, 'eos_token_id', vocabularySize);
}

/** `suppress_tokens`, and those `bad_words_ids` that are one token long; longer ones are refused. */
function suppressedIds(generation: JsonObject, vocabularySize: number): readonly number[] {
  const single = generation.or('suppress_tokens', (g) => g.numbers('suppress_tokens'), []);
  const words = generation.value.bad_words_ids ?? [];
  if (
    !Array.isArray(words) ||
    words.length > 1000 ||
    !words.every((word) => Array.isArray(word) && word.length === 1)
  ) {
    throw new VlmError(
      'MODEL_UNSUPPORTED',
      'generation_config.json: bad_words_ids: expected at most 1000 words of one token each',
    );
  }
  return checkIds([...single, ...words.flat()], 'suppress_tokens and bad_words_ids', vocabularySize);
}

function checkIds(ids: readonly unknown[], name: string, vocabularySize: number): readonly number[] {
  for (const id of ids) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabularySize) {
      throw new VlmError(
        'FOLDER_INVALID',
        `generation_config.json: ${name}: expected ids below ${vocabularySize}, found ${String(id)}`,
      );
    }
  }
  return ids as number[];
}

function generationDefaults(file: JsonObject | undefined): GenerationDefaults {
  const number = (name: string, low: number, high: number, fallback: number) =>
    file?.or(name, (f) => f.number(name, low, high), fallback) ?? fallback;
  const samples = file?.or('do_sample', (f) => f.boolean('do_sample'), false) ?? false;
  return {
    temperature: samples ? number('temperature', 0, 100, 1) : 0,
    topP: samples ? number('top_p', 0, 1, 1) : 1,
    topK: samples ? number('top_k', 0, LARGEST_ID, 50) : 0,
    repetitionPenalty: number('repetition_penalty', 0.01, 100, 1),
  };
}
