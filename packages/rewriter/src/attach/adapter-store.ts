/** Where the tensors of an adapter go in the model that it is attached to. */

import { basename, dirname, join, resolve } from 'node:path';
import {
  externalTensors,
  type ModelProto,
  setExternalLocation,
  type TensorProto,
  writeFileAtomically,
} from '@ort-dora/onnx';
import type { Staging } from '../rewrite/staging.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';

/** An adapter of more bytes gets a data file of its own: a model file ends at 2 GiB, and is read as a whole. */
const MOST_INLINE_BYTES = 64 * 2 ** 20;
const ALIGNMENT_BYTES = 64;
const CHUNK_BYTES = 4 * 2 ** 20;

/** The elements of a tensor, a piece at a time; a piece is done with when the next is asked for. */
export interface ElementSource {
  readonly byteLength: number;
  chunks(): AsyncIterable<Uint8Array>;
}

/** The elements of a stored tensor. */
export function storedElements(tensor: FloatTensor): ElementSource {
  const { byteLength } = tensor;
  return {
    byteLength,
    async *chunks() {
      for (let start = 0; start < byteLength; start += CHUNK_BYTES) {
        yield tensor.read(start, Math.min(start + CHUNK_BYTES, byteLength));
      }
    },
  };
}

/** Tensors that are in a model's graph already, but whose elements are not. */
export class AdapterStore {
  /**
   * @param mostInline bytes of all tensors that still go into the model's own file
   * @param suffix of the data file's name, behind the model's
   */
  constructor(
    private readonly mostInline = MOST_INLINE_BYTES,
    private readonly suffix = '_adapter_data',
  ) {}

  readonly #tensors: { readonly proto: TensorProto; readonly source: ElementSource }[] = [];

  /** Remembers where the elements of `proto` come from. */
  add(proto: TensorProto, source: ElementSource): void {
    this.#tensors.push({ proto, source });
  }

  get #bytes(): number {
    return this.#tensors.reduce((sum, { source }) => sum + source.byteLength, 0);
  }

  /** Puts all elements into the model's own file. */
  async inline(): Promise<void> {
    for (const { proto, source } of this.#tensors) {
      const bytes = new Uint8Array(source.byteLength);
      let end = 0;
      for await (const chunk of source.chunks()) {
        bytes.set(chunk, end);
        end += chunk.length;
      }
      proto.rawData = bytes;
    }
  }

  /** Puts the elements into the model's own file, or those of many bytes into a data file beside it. */
  async stage(model: ModelProto, outputPath: string, staging: Staging, signal?: AbortSignal): Promise<void> {
    if (this.#bytes <= this.mostInline) return this.inline();
    const taken = new Set(externalTensors(model).map(({ place }) => place.location));
    let location = `${basename(outputPath)}${this.suffix}`;
    while (taken.has(location)) location = `${location}_`;
    const placed = this.#placed();
    async function* chunks() {
      let written = 0;
      for (const { source, offset } of placed) {
        yield new Uint8Array(offset - written);
        for await (const chunk of source.chunks()) {
          signal?.throwIfAborted();
          yield chunk;
        }
        written = offset + source.byteLength;
      }
    }
    await writeFileAtomically(await staging.stage(join(dirname(resolve(outputPath)), location)), chunks());
    for (const { proto, source, offset } of placed) {
      setExternalLocation(proto, { location, offset, length: source.byteLength });
    }
  }

  #placed() {
    let end = 0;
    return this.#tensors.map((tensor) => {
      const offset = Math.ceil(end / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
      end = offset + tensor.source.byteLength;
      return { ...tensor, offset };
    });
  }
}
