import type { NormRequest } from '../norm/norm.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';
import { type AttachModule, inOperatorType } from './adapter-module.js';
import type { LayerKind, LayerWeight } from './base-layers.js';

/** W of a layer, as numbers. */
export interface NormWeight extends Pick<LayerWeight, 'numbers' | 'numbersTransposed'> {
  readonly kind: LayerKind;
}

/**
 * The norm of a module: of a convolution over all but the output channels, of an embedding over the words (PEFT
 * `DoraConvLayer`, `DoraEmbeddingLayer`), so that all three are norms of rows of a matrix. Undefined without magnitudes.
 */
export function normRequest(
  module: AttachModule,
  { kind, numbers, numbersTransposed }: NormWeight,
  signal: AbortSignal | undefined,
): NormRequest | undefined {
  const { path, scaling, rank, outFeatures, magnitude } = module;
  if (magnitude === undefined) return undefined;
  const inFeatures = numbers.dims.reduce((product, dim) => product * dim, 1) / outFeatures;
  const flat = (tensor: FloatTensor, rows: number, columns: number): FloatTensor => ({
    ...tensor,
    dims: [rows, columns],
  });
  const transW = kind === 'embedding' ? ((1 - numbersTransposed) as 0 | 1) : numbersTransposed;
  const weight = transW === 1 ? flat(numbers, inFeatures, outFeatures) : flat(numbers, outFeatures, inFeatures);
  const [loraA, loraB] = inOperatorType(weight.type, module.loraA, module.loraB) as [FloatTensor, FloatTensor];
  return {
    path,
    weight,
    loraA: flat(loraA, rank, inFeatures),
    loraB: flat(loraB, outFeatures, rank),
    magnitude: inOperatorType(weight.type, magnitude)[0]!,
    transW,
    transA: 0,
    transB: 0,
    scaling,
    outFeatures,
    inFeatures,
    rank,
    ...(signal === undefined ? {} : { signal }),
  };
}
