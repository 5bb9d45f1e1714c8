/** Rows of a batch whose prompts differ in length: padded on the left, as generation pads. */

/**
 * Padded tokens at the beginning of each row: none in the first, more from row to row, and a token is left in all.
 *
 * @param total tokens in the KV cache and new ones
 */
export function leftPadding(batch: number, total: number): number[] {
  return Array.from({ length: batch }, (_, row) => Math.max(0, Math.min(2 * row, total - 1)));
}

/**
 * The position of a token: padding does not count, and stands at 1, where transformers puts it (`prepare_inputs_for_generation`);
 * onnxruntime-genai writes 0, which makes no difference to the tokens that count.
 *
 * @param column of the row's tokens, those in the KV cache included
 */
export function positionOf(column: number, padding: number): number {
  return column < padding ? 1 : column - padding;
}
