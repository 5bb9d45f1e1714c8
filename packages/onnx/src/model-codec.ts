import { type DecodeLimits, decodeMessage } from './decode.js';
import { encodeMessage, planChunks } from './encode.js';
import type { ModelProto } from './messages.js';
import { MODEL } from './schema.js';

/**
 * Decodes the bytes of an .onnx file. Inline tensor bytes are views of `bytes`, which must not be changed afterwards.
 * What the schema does not know is kept and written back by {@link encodeModel}.
 * @throws OnnxError `malformed` or `limit`, with the byte offset.
 */
export function decodeModel(bytes: Uint8Array, limits?: DecodeLimits): ModelProto {
  return decodeMessage(MODEL, bytes, limits);
}

/**
 * The bytes of an .onnx file. A decoded model that has not been changed gives the bytes it was decoded from; a change
 * alters the bytes of the messages on its path only.
 * @throws OnnxError `invalid-value`; `too-large` for a model of 2 GiB or more, which protobuf cannot hold.
 */
export function encodeModel(model: ModelProto): Uint8Array {
  return encodeMessage(MODEL, model);
}

/** {@link encodeModel} in pieces, for writing: large pieces are views of the decoded file, not copies. */
export function encodeModelChunks(model: ModelProto): Uint8Array[] {
  return planChunks(MODEL, model);
}
