/** What an `ort.dora` operator of a rewritten or attached model stands for: a base weight, A, B, g and s. */

import type { NodeProto, Scope } from '@ort-dora/onnx';
import type { BaseLayer, LayerKind } from '../attach/base-layers.js';
import type { FloatType, Transposed } from '../functions/form.js';
import type { MatchScope } from '../match/scope.js';
import type { FloatTensor, StoredTensor } from '../tensors/stored-tensor.js';

/** A matrix as it is stored; `transposed` against W `[out, in]`, A `[r, in]`, B `[out, r]`. Kernels of convolutions are flattened into `in`. */
export interface FusedMatrix {
  readonly tensor: FloatTensor;
  readonly transposed: Transposed;
  /** The same for the same constant of the model; names are not, which subgraphs may use again. */
  readonly id: string;
}

/** One adapter on one layer. */
export interface FusedModule {
  /** DoraLinear or DoraCompose. */
  readonly node: NodeProto;
  readonly scope: Scope;
  readonly facts: MatchScope;
  /** PEFT module path, and adapter where the export kept its name. */
  readonly path: string;
  readonly adapter: string | undefined;
  readonly kind: LayerKind;
  readonly base: FusedBase;
  readonly loraA: FusedMatrix;
  readonly loraB: FusedMatrix;
  readonly gain: FusedGain;
  readonly scaling: number;
  readonly bias: FusedBias | undefined;
  readonly rank: number;
  readonly outFeatures: number;
  readonly inFeatures: number;
}

export type FusedBase =
  /** DoraLinear's own product. */
  | { readonly kind: 'inside'; readonly weight: FusedWeight }
  /** A layer of the graph, whose result, perhaps reshaped or scaled, DoraCompose takes. */
  | {
      readonly kind: 'layer';
      readonly weight: FusedWeight;
      readonly layer: BaseLayer;
      /** What DoraCompose takes. */
      readonly value: string;
      /** What the layer itself adds. */
      readonly bias: Pick<FusedBias, 'value' | 'tensor'> | undefined;
    }
  /** Another adapter's result. */
  | { readonly kind: 'adapted'; readonly module: FusedModule; readonly value: string };

/** A bias that the operator is given: to add it, or to leave it alone where the base holds it already. */
export interface FusedBias {
  readonly value: string;
  readonly inBase: boolean;
  /** Where it is a constant. */
  readonly tensor: StoredTensor | undefined;
}

export interface FusedWeight extends FusedMatrix {
  /** The type in which the layer reads it. */
  readonly type: FloatType;
  readonly quantizedBy: BaseLayer['weight']['quantizedBy'];
}

/** g: stored, or computed in the graph by DoraScale from a stored m. */
export type FusedGain =
  | { readonly kind: 'stored'; readonly tensor: FloatTensor; readonly id: string }
  | { readonly kind: 'computed'; readonly magnitude: FloatTensor; readonly id: string };

/** The weight below all adapters. */
export function baseWeight({ base }: FusedModule): FusedWeight {
  return base.kind === 'adapted' ? baseWeight(base.module) : base.weight;
}

/** The adapters on one layer, the innermost first. */
export function chainOf(module: FusedModule): readonly FusedModule[] {
  return module.base.kind === 'adapted' ? [...chainOf(module.base.module), module] : [module];
}
