/** g of a module that is read back from a model. */

import { type NormCompute, normOf } from '../norm/norm.js';
import { toFloat32 } from '../tensors/elements.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';
import { baseWeight, type FusedModule } from './fused-module.js';

/** g `[out]` as stored, or computed where the graph computes it. */
export async function gainOf(module: FusedModule, compute: NormCompute, signal?: AbortSignal): Promise<Float32Array> {
  const { gain } = module;
  if (gain.kind === 'computed') return ratioToNorm(module, gain.magnitude, compute, signal);
  return toFloat32(await gain.tensor.read(), gain.tensor.type);
}

/** `numerator / ‖W + s·B·A‖` per output row, over the weight below all adapters, as PEFT computes the norm of each. */
export async function ratioToNorm(
  module: FusedModule,
  numerator: FloatTensor,
  compute: NormCompute,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { path, loraA, loraB, scaling, rank, outFeatures, inFeatures } = module;
  const weight = baseWeight(module);
  const flat = (tensor: FloatTensor) => ({
    ...tensor,
    dims: [tensor.dims[0] ?? 0, tensor.dims.slice(1).reduce((a, b) => a * b, 1)],
  });
  return normOf(compute, {
    path,
    weight: flat(weight.tensor),
    loraA: flat(loraA.tensor),
    loraB: flat(loraB.tensor),
    magnitude: { ...numerator, dims: [outFeatures] },
    transW: weight.transposed,
    transA: loraA.transposed,
    transB: loraB.transposed,
    scaling,
    rank,
    outFeatures,
    inFeatures,
    ...(signal && { signal }),
  });
}
