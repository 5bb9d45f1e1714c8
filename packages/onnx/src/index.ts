export type { DecodeLimits } from './decode.js';
export { OnnxError, type OnnxErrorCode, type OnnxErrorPlace } from './errors.js';
export * from './messages.js';
export { decodeModel, encodeModel, encodeModelChunks } from './model-codec.js';
