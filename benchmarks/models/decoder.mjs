/** The decoder of shape.py, as measure.mjs and compare.mjs bind it. */
export const LAYERS = 36;
export const KV_HEADS = 8;
export const HEAD_DIM = 128;
export const VOCABULARY = 151_936;

/** Numbers of bfloat16 bits, as its logits are read. */
export function wide(bits) {
  return new Float32Array(Uint32Array.from(bits, (value) => value << 16).buffer);
}
