// The decoder's session and the KV cache of one batch, which stays in the runtime's memory.
import type { NativeTensor, RunOptions, Session, TensorData, Value, ValueInfo } from '@ort-dora/runtime';
import { VlmError } from '../errors.js';

type TensorInfo = Extract<ValueInfo, { isTensor: true }>;

const CACHE_INPUT = /^past_key_values\.(\d+)\.(key|value)$/;
const OTHER_INPUTS = ['inputs_embeds', 'attention_mask', 'position_ids'];

/** A graph with `inputs_embeds`, `attention_mask`, perhaps `position_ids`, `past_key_values.*`; `logits` and `present.*`. */
export class Decoder {
  readonly session: Session;
  /** Inputs of the cache: [batch, heads, past, head size]. */
  readonly #cacheInputs: readonly TensorInfo[];
  readonly #hasPositions: boolean;

  /** @throws VlmError MODEL_UNSUPPORTED where the graph has other inputs or outputs */
  constructor(session: Session, hiddenSize: number) {
    this.session = session;
    this.#cacheInputs = session.inputs.filter(
      (input): input is TensorInfo => input.isTensor && CACHE_INPUT.test(input.name),
    );
    this.#hasPositions = session.inputs.some(({ name }) => name === 'position_ids');
    this.#check(hiddenSize);
  }

  /**
   * Runs a batch of prompts, the shorter ones padded on the left.
   * @param embeddings float32 [batch, length, hidden]
   * @param lengths the unpadded length of each prompt
   */
  async prefill(
    embeddings: TensorData<'float32'>,
    lengths: readonly number[],
    signal?: AbortSignal,
  ): Promise<DecoderRun> {
    const run = new DecoderRun(
      this.session,
      this.#emptyCache(lengths.length),
      this.#hasPositions,
      embeddings.dims[1]!,
      lengths,
    );
    await run.start(embeddings, signal);
    return run;
  }

  #emptyCache(batch: number): Map<string, Value> {
    return new Map(
      this.#cacheInputs.map(({ name, type, shape }) => {
        const dims = [batch, Number(shape[1]), 0, Number(shape[3])];
        return [
          name,
          { type, dims, data: type === 'float16' ? new Uint16Array(0) : new Float32Array(0) } as TensorData,
        ];
      }),
    );
  }

  #check(hiddenSize: number): void {
    const { inputs, outputs } = this.session;
    const fail = (what: string) => new VlmError('MODEL_UNSUPPORTED', `the decoder ${what}`);
    const tensors = new Map(inputs.map((input) => [input.name, input]));
    for (const name of ['inputs_embeds', 'attention_mask']) if (!tensors.has(name)) throw fail(`has no input ${name}`);
    const embeddings = tensors.get('inputs_embeds');
    if (!embeddings?.isTensor || embeddings.type !== 'float32' || embeddings.shape.at(-1) !== hiddenSize) {
      throw fail(`must take inputs_embeds as float32 [batch, length, ${hiddenSize}]`);
    }
    const odd = inputs.find(({ name }) => !OTHER_INPUTS.includes(name) && !CACHE_INPUT.test(name));
    if (odd !== undefined) throw fail(`has an input ${odd.name} that is not known here`);
    if (this.#cacheInputs.length === 0) throw fail('has no past_key_values: it must be exported with a KV cache');
    for (const { name, type, shape } of this.#cacheInputs) {
      const sized = typeof shape[1] === 'number' && typeof shape[3] === 'number' && shape.length === 4;
      if (!sized || (type !== 'float32' && type !== 'float16')) {
        throw fail(
          `must take ${name} as float32 or float16 [batch, heads, past, head size] with fixed heads and head size`,
        );
      }
      if (!outputs.some((output) => output.name === presentOf(name))) throw fail(`has no output ${presentOf(name)}`);
    }
    const logits = outputs.find(({ name }) => name === 'logits');
    if (!logits?.isTensor || logits.type !== 'float32') throw fail('must give logits as float32');
  }
}

/** One batch under way. */
export class DecoderRun {
  readonly #session: Session;
  readonly #hasPositions: boolean;
  readonly #cache: Map<string, Value>;
  readonly #fetches: Record<string, true | 'native'>;
  /** Length of the padded prompts. */
  readonly #promptLength: number;
  /** Of each prompt, without padding. */
  readonly #lengths: readonly number[];
  #generated = 0;
  #logits: TensorData<'float32'> | undefined;

  constructor(
    session: Session,
    cache: Map<string, Value>,
    hasPositions: boolean,
    promptLength: number,
    lengths: readonly number[],
  ) {
    this.#session = session;
    this.#cache = cache;
    this.#hasPositions = hasPositions;
    this.#promptLength = promptLength;
    this.#lengths = lengths;
    this.#fetches = {
      logits: true,
      ...Object.fromEntries([...cache.keys()].map((name) => [presentOf(name), 'native'])),
    };
  }

  async start(embeddings: TensorData<'float32'>, signal: AbortSignal | undefined): Promise<void> {
    await this.#run(embeddings, this.#promptLength, signal);
  }

  /** Runs one more token of every row. @param embeddings float32 [batch, 1, hidden] */
  async step(embeddings: Value, signal: AbortSignal | undefined): Promise<void> {
    this.#generated++;
    await this.#run(embeddings, 1, signal);
  }

  /** The logits of the row's last token, a copy. */
  logits(row: number): Float32Array {
    const { data, dims } = this.#logits!;
    const [, length, vocabulary] = dims as [number, number, number];
    const start = (row * length + length - 1) * vocabulary;
    return data.slice(start, start + vocabulary);
  }

  /** Frees the cache. Idempotent. */
  dispose(): void {
    for (const value of this.#cache.values()) disposeValue(value);
    this.#cache.clear();
    this.#logits = undefined;
  }

  async #run(embeddings: Value, length: number, signal: AbortSignal | undefined): Promise<void> {
    const feeds: Record<string, Value> = {
      inputs_embeds: embeddings,
      attention_mask: this.#mask(),
      ...Object.fromEntries(this.#cache),
    };
    if (this.#hasPositions) feeds.position_ids = this.#positions(length);
    const options: RunOptions = signal === undefined ? { fetches: this.#fetches } : { fetches: this.#fetches, signal };
    const outputs = await this.#session.run(feeds, options);
    this.#logits = outputs.logits as TensorData<'float32'>;
    for (const [name, past] of this.#cache) {
      disposeValue(past);
      this.#cache.set(name, outputs[presentOf(name)]!);
    }
  }

  /** int64 [batch, past + length]: 0 over the padding. */
  #mask(): TensorData<'int64'> {
    const total = this.#promptLength + this.#generated;
    const data = new BigInt64Array(this.#lengths.length * total).fill(1n);
    this.#lengths.forEach((length, row) => {
      data.fill(0n, row * total, row * total + this.#promptLength - length);
    });
    return { type: 'int64', data, dims: [this.#lengths.length, total] };
  }

  /** int64 [batch, length]: counted from a prompt's first token; 1 over the padding, as transformers has it. */
  #positions(length: number): TensorData<'int64'> {
    const data = new BigInt64Array(this.#lengths.length * length);
    this.#lengths.forEach((promptLength, row) => {
      const padding = this.#promptLength - promptLength;
      for (let i = 0; i < length; i++) {
        const position = this.#promptLength + this.#generated - length + i - padding;
        data[row * length + i] = BigInt(position < 0 ? 1 : position);
      }
    });
    return { type: 'int64', data, dims: [this.#lengths.length, length] };
  }
}

function presentOf(name: string): string {
  return name.replace('past_key_values', 'present');
}

function disposeValue(value: Value): void {
  if ('dispose' in value) (value as NativeTensor).dispose();
}
