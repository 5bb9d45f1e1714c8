import type { FloatType, Transposed } from '../functions/form.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';

/** One merged weight: everything that W' depends on. */
export interface MergeRequest {
  /** PEFT module path, for messages. */
  readonly path: string;
  /** W, stored `[out, in]`, or with `transW` `[in, out]`. Kernels of convolutions are flattened into `in`. */
  readonly weight: FloatTensor;
  readonly transW: Transposed;
  /** Of W', the type in which the layer reads W. */
  readonly type: FloatType;
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** More than one where adapters are chained: the innermost first. */
  readonly adapters: readonly MergedAdapter[];
  readonly signal?: AbortSignal;
}

export interface MergedAdapter {
  readonly loraA: FloatTensor;
  readonly loraB: FloatTensor;
  readonly transA: Transposed;
  readonly transB: Transposed;
  readonly rank: number;
  readonly scaling: number;
  /** g `[out]`. */
  readonly gain: Float32Array;
}

/**
 * Computes W' = g·(W + s·B·A), and for chained adapters the same again over that, at least in float32 and rounded to the
 * type once: its bytes in the layout in which W is stored, some whole rows at a time. They may be overwritten when the next
 * are asked for.
 */
export type MergeCompute = (request: MergeRequest) => AsyncIterable<Uint8Array>;

/** Rows and columns of W as it is stored. */
export function storedShape({
  transW,
  outFeatures,
  inFeatures,
}: MergeRequest): readonly [rows: number, columns: number] {
  return transW === 0 ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
}

/** A matrix `[rows, columns]`, or with `transposed` stored the other way round. */
export interface Factor {
  readonly tensor: FloatTensor;
  readonly transposed: Transposed;
}

/** The factors of an adapter in the layout of W: a stored row i gets s·Σₖ left[i, k]·right[k, :]. */
export function factorsOf(
  adapter: MergedAdapter,
  transW: Transposed,
): { readonly left: Factor; readonly right: Factor } {
  const { loraA, loraB, transA, transB } = adapter;
  if (transW === 0) {
    return { left: { tensor: loraB, transposed: transB }, right: { tensor: loraA, transposed: transA } };
  }
  const other = (transposed: Transposed): Transposed => (transposed === 0 ? 1 : 0);
  return { left: { tensor: loraA, transposed: other(transA) }, right: { tensor: loraB, transposed: other(transB) } };
}
