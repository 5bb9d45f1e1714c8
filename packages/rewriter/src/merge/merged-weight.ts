/** A merged weight as it is written: computed then, piece by piece, and checked. */

import { ELEMENT_BYTES } from '@ort-dora/adapters';
import type { ElementSource } from '../attach/adapter-store.js';
import { baseWeight, chainOf, type FusedModule } from '../fused/fused-module.js';
import { type MergeCompute, type MergeRequest, storedShape } from './merge-compute.js';
import { type RoundingError, RoundingSample } from './rounding-sample.js';

export class MergedWeight implements ElementSource {
  readonly byteLength: number;
  readonly #sample: RoundingSample;

  constructor(
    private readonly request: MergeRequest,
    private readonly compute: MergeCompute,
    private readonly onComputed: (bytes: number) => void,
  ) {
    this.byteLength = request.outFeatures * request.inFeatures * ELEMENT_BYTES[request.type];
    this.#sample = new RoundingSample(request);
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    const [, columns] = storedShape(this.request);
    const rowBytes = columns * ELEMENT_BYTES[this.request.type];
    let done = 0;
    for await (const piece of this.compute(this.request)) {
      this.#sample.see(done / rowBytes, piece);
      done += piece.length;
      this.onComputed(piece.length);
      yield piece;
    }
  }

  /** Of what was written. */
  rounding(): Promise<RoundingError> {
    return this.#sample.error();
  }
}

/** @param module the outermost of its chain; @param gains g of each adapter of the chain, the innermost first */
export function mergeRequest(
  module: FusedModule,
  gains: readonly Float32Array[],
  signal: AbortSignal | undefined,
): MergeRequest {
  const { path, outFeatures, inFeatures } = module;
  const { tensor, transposed, type } = baseWeight(module);
  return {
    path,
    weight: tensor,
    transW: transposed,
    type,
    outFeatures,
    inFeatures,
    adapters: chainOf(module).map(({ loraA, loraB, rank, scaling }, index) => ({
      loraA: loraA.tensor,
      loraB: loraB.tensor,
      transA: loraA.transposed,
      transB: loraB.transposed,
      rank,
      scaling,
      gain: gains[index]!,
    })),
    ...(signal && { signal }),
  };
}
