/** What a model takes and gives, and what is known of the values that its inputs may have. */

import type { ElementType } from '../tensor.js';

/** A dimension: its size, its symbolic name, or undefined where the file says nothing. */
export type Dim = number | string | undefined;

export interface TensorInfo {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly Dim[];
}

/** What is known of a model beyond the types of its inputs. */
export interface InputKnowledge {
  /** Of integer inputs that index a table: its number of rows. */
  readonly tableRows: ReadonlyMap<string, number>;
  /** Of the model's config.json. */
  readonly config: ModelConfig;
}

/** The entries of a Hugging Face config.json that inputs depend on. */
export interface ModelConfig {
  readonly vocabularySize?: number;
  /** The token that stands for image features; generated ids avoid it, since no features would fit. */
  readonly imageToken?: number;
  /** Heads of the KV cache, and the width of one. */
  readonly cacheHeads?: number;
  readonly headSize?: number;
  /** Height and width of an image in pixels. */
  readonly imageSize?: number;
}
