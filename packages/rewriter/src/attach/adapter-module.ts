/** One adapted layer of a PEFT adapter, as attaching needs it. */

import type { AdapterModule, AdapterTensor } from '@ort-dora/adapters';
import type { FloatType } from '../functions/form.js';
import { DATA_TYPE, toFloat32 } from '../tensors/elements.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';
import type { Target } from './find-targets.js';

/** A module whose A, B and m are read as the model's own tensors are. */
export interface AttachModule {
  readonly path: string;
  readonly kind: AdapterModule['kind'];
  readonly rank: number;
  /** Rounded to float32, as the operators have it. */
  readonly scaling: number;
  readonly outFeatures: number;
  /** A `[r, in]`, of a convolution `[r, in, kernel…]`. */
  readonly loraA: FloatTensor;
  /** B `[out, r]`, of a convolution `[out, r, 1…]`. */
  readonly loraB: FloatTensor;
  /** m `[out]`; undefined for LoRA without DoRA, whose g is 1. */
  readonly magnitude: FloatTensor | undefined;
}

export function attachModule({ magnitude, ...module }: AdapterModule): AttachModule {
  const { path, kind, rank, outFeatures } = module;
  return {
    path,
    kind,
    rank,
    outFeatures,
    scaling: Math.fround(module.scaling),
    loraA: floatTensor(module.loraA),
    loraB: floatTensor(module.loraB),
    magnitude: magnitude === undefined ? undefined : { ...floatTensor(magnitude), dims: [outFeatures] },
  };
}

/** What the base must have at its path. */
export function targetOf({ path, kind, outFeatures, inFeatures, loraA }: AdapterModule): Target {
  const weightShape =
    kind === 'embedding' ? [inFeatures, outFeatures] : [outFeatures, inFeatures, ...loraA.dims.slice(2)];
  return { path, kind, weightShape };
}

function floatTensor(tensor: AdapterTensor): FloatTensor {
  const { name, type, dims, byteLength } = tensor;
  return { name, type, dims, byteLength, dataType: DATA_TYPE[type], read: (start, end) => tensor.read(start, end) };
}

/** Tensors in one type that an operator over a base of type `base` takes: as they are, else all in float32, which is exact. */
export function inOperatorType(base: FloatType, ...tensors: readonly FloatTensor[]): readonly FloatTensor[] {
  const type = tensors[0]?.type ?? base;
  const taken = tensors.every((tensor) => tensor.type === type) && (type === base || type === 'float32');
  return taken ? tensors : tensors.map(widened);
}

/** The same numbers in float32. */
export function widened(tensor: FloatTensor): FloatTensor {
  if (tensor.type === 'float32') return tensor;
  const { name, dims, type } = tensor;
  const byteLength = 2 * tensor.byteLength;
  return {
    name,
    dims,
    byteLength,
    type: 'float32',
    dataType: DATA_TYPE.float32,
    read: async (start = 0, end = byteLength) => {
      const first = Math.floor(start / 4);
      const values = toFloat32(await tensor.read(2 * first, 2 * Math.ceil(end / 4)), type);
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).subarray(
        start - 4 * first,
        end - 4 * first,
      );
    },
  };
}
