// The parts of one opened model.
import type { ImageSettings } from '../folder/image-settings.js';
import type { ModelSettings } from '../folder/model-settings.js';
import type { ImageLimits } from '../image/decode-image.js';
import type { PromptBuilder } from '../text/prompt.js';
import type { Tokenizer } from '../text/tokenizer.js';
import type { Decoder } from './decoder.js';
import type { Embeddings } from './embeddings.js';
import type { VisionEncoder } from './vision-encoder.js';

export interface Limits extends ImageLimits {
  /** Pictures in one conversation. */
  readonly maxImages: number;
}

export interface Engine {
  readonly settings: ModelSettings;
  readonly imageSettings: ImageSettings;
  readonly limits: Limits;
  readonly tokenizer: Tokenizer;
  readonly prompts: PromptBuilder;
  readonly vision: VisionEncoder;
  readonly embeddings: Embeddings;
  readonly decoder: Decoder;
}
