// The embedding table's session: ids to rows.
import type { NativeTensor, Session, TensorData } from '@ort-dora/runtime';
import { VlmError } from '../errors.js';

export class Embeddings {
  readonly session: Session;
  readonly #hidden: number;

  /** @throws VlmError MODEL_UNSUPPORTED where the graph takes or gives something else */
  constructor(session: Session, hiddenSize: number) {
    this.session = session;
    this.#hidden = hiddenSize;
    const [input, output] = [session.inputs[0], session.outputs.find(({ name }) => name === 'inputs_embeds')];
    const known =
      input?.isTensor && input.name === 'input_ids' && input.type === 'int64' && session.inputs.length === 1;
    if (!known || !output?.isTensor || output.type !== 'float32') {
      throw new VlmError(
        'MODEL_UNSUPPORTED',
        'the embedding graph must take input_ids (int64) and give inputs_embeds (float32)',
      );
    }
  }

  /** The rows of a batch of prompts, float32 [batch, length, hidden]: a copy that may be changed. @param ids batch · length */
  async ofPrompts(
    ids: readonly number[],
    batch: number,
    signal: AbortSignal | undefined,
  ): Promise<TensorData<'float32'>> {
    const outputs = await this.session.run(idsTensor(ids, batch), {
      fetches: ['inputs_embeds'],
      ...(signal && { signal }),
    });
    const { data, dims } = outputs.inputs_embeds as TensorData<'float32'>;
    if (data.length !== ids.length * this.#hidden) {
      throw new VlmError(
        'MODEL_UNSUPPORTED',
        `the embedding graph gives [${dims.join(', ')}] for ${ids.length} ids, expected rows of ${this.#hidden}`,
      );
    }
    return { type: 'float32', data: data.slice(), dims: [batch, ids.length / batch, this.#hidden] };
  }

  /** The row of one token each, float32 [batch, 1, hidden]: on this thread, since a lookup takes less time than a thread switch. */
  ofTokens(ids: readonly number[]): NativeTensor {
    const outputs = this.session.runSync(idsTensor(ids, ids.length), { fetches: { inputs_embeds: 'native' } });
    return outputs.inputs_embeds as NativeTensor;
  }
}

function idsTensor(ids: readonly number[], batch: number): { input_ids: TensorData<'int64'> } {
  return { input_ids: { type: 'int64', data: BigInt64Array.from(ids, BigInt), dims: [batch, ids.length / batch] } };
}
