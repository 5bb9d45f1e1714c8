// The vision encoder's session: tiles to feature rows.
import type { Session, TensorData } from '@ort-dora/runtime';
import { VlmError } from '../errors.js';
import type { Tiles } from '../image/tiles.js';

export class VisionEncoder {
  readonly session: Session;
  readonly #hidden: number;
  readonly #tokensPerTile: number;
  readonly #output: string;

  /** @throws VlmError MODEL_UNSUPPORTED where the graph takes or gives something else */
  constructor(session: Session, hiddenSize: number, tokensPerTile: number) {
    this.session = session;
    this.#hidden = hiddenSize;
    this.#tokensPerTile = tokensPerTile;
    const type = (name: string) => session.inputs.find((input) => input.name === name && input.isTensor);
    const [pixels, mask] = [type('pixel_values'), type('pixel_attention_mask')];
    const known = pixels?.isTensor && pixels.type === 'float32' && mask?.isTensor && mask.type === 'bool';
    const [output] = session.outputs;
    if (
      !known ||
      session.inputs.length !== 2 ||
      session.outputs.length !== 1 ||
      !output?.isTensor ||
      output.type !== 'float32'
    ) {
      throw new VlmError(
        'MODEL_UNSUPPORTED',
        'the vision encoder must take pixel_values (float32) and pixel_attention_mask (bool) and give float32 features',
      );
    }
    this.#output = output.name;
  }

  /** Features of the tiles, float32 [count · tokensPerTile, hidden], row after row. */
  async features({ pixels, count, side }: Tiles, signal: AbortSignal | undefined): Promise<Float32Array> {
    const feeds = {
      pixel_values: { type: 'float32', data: pixels, dims: [1, count, 3, side, side] } satisfies TensorData,
      pixel_attention_mask: {
        type: 'bool',
        data: new Uint8Array(count * side * side).fill(1),
        dims: [1, count, side, side],
      } satisfies TensorData,
    };
    const outputs = await this.session.run(feeds, signal === undefined ? {} : { signal });
    const features = outputs[this.#output] as TensorData<'float32'>;
    const expected = count * this.#tokensPerTile * this.#hidden;
    if (features.data.length !== expected) {
      throw new VlmError(
        'MODEL_UNSUPPORTED',
        `the vision encoder gives [${features.dims.join(', ')}] for ${count} tiles, expected ${this.#tokensPerTile} rows of ${this.#hidden} a tile`,
      );
    }
    return features.data;
  }
}
