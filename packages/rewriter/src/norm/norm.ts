import type { Transposed } from '../functions/form.js';
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
 * `DoraLinearLayer.get_weight_norm`).
 */
export type NormCompute = (request: NormRequest) => Promise<Float32Array>;
