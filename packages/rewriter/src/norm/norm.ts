import type { Transposed } from '../functions/form.js';
import { RewriteError } from '../rewrite/error.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';

/** One module's norm: everything that g depends on. */
export interface NormRequest {
  /** PEFT module path, for messages. */
  readonly path: string;
  readonly weight: FloatTensor;
  readonly loraA: FloatTensor;
  readonly loraB: FloatTensor;
  readonly magnitude: FloatTensor;
  readonly transW: Transposed;
  readonly transA: Transposed;
  readonly transB: Transposed;
  readonly scaling: number;
  /** out, in, r. */
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly rank: number;
  readonly signal?: AbortSignal;
}

/**
 * Computes `g = m / ‖W + s·B·A‖` per output row, float32 `[out]`, with no epsilon (PEFT
 * `DoraLinearLayer.get_weight_norm`): one for each request, in their order. Several requests are given at once so that the
 * weights of one can be read while another is computed.
 */
export type NormCompute = (requests: readonly NormRequest[]) => AsyncIterable<Float32Array>;

/** g of one module. @throws RewriteError `norm` for a computation that gives no g of that length. */
export async function normOf(compute: NormCompute, request: NormRequest): Promise<Float32Array> {
  for await (const gain of compute([request])) return checkedGain(gain, request);
  throw new RewriteError('norm', `${request.path}: no norm was computed`);
}

/** @throws RewriteError `norm` for a g of another length than the request's. */
export function checkedGain(gain: Float32Array, { path, outFeatures }: NormRequest): Float32Array {
  if (gain.length === outFeatures) return gain;
  throw new RewriteError('norm', `${path}: the norm has ${gain.length} elements, W ${outFeatures} outputs`);
}
