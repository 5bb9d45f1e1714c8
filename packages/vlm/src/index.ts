// Generation with vision-language models: what other packages use of this one.
export { VlmError, type VlmErrorCode } from './errors.js';
export type {
  AnswerLogprob,
  EndEvent,
  FinishReason,
  Generation,
  GenerationEvent,
  TextEvent,
  Timings,
  TokenLogprob,
  Usage,
} from './generation/answer.js';
export type { Limits } from './generation/engine.js';
export type { GenerationOptions } from './generation/generation-options.js';
export type { RgbImage } from './image/rgb-image.js';
export type { ContentPart, ImagePart, Message, TextPart } from './messages.js';
export {
  type GraphNames,
  type OpenOptions,
  type OpenVlmOptions,
  openVariants,
  openVlm,
  type VlmVariant,
  type VlmVariants,
} from './open-vlm.js';
export type { SamplingOptions } from './sampling/sampling-options.js';
export type { GenerationRequest, Vlm } from './vlm.js';
