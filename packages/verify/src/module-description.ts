/** What is known of a fused module: names in the original graph, as the rewriter reports them. */

import type { ModuleName } from './result.js';

/** A fused module of `@ort-dora/rewriter`'s report is one. */
export interface ModuleDescription extends ModuleName {
  /**
   * What is adapted. `linear` layers are judged from their input on; of `embedding` and `conv`, whose own layers the
   * rewrite leaves as they are, the composition is judged: from the base's and the adapter's results on.
   */
  readonly kind: string;
  /** null: that of the A and B in hand. */
  readonly rank: number | null;
  readonly scaling: number;
  /** What the adapter's result is multiplied by besides; 1 if absent. */
  readonly adapterFactor?: number;
  /** W's shape as a matrix; null where nothing says. */
  readonly weightShape?: readonly [outFeatures: number, inFeatures: number] | null;
  /** Element types of the stored tensors. */
  readonly dtypes: { readonly weight: string; readonly adapter: string };
  /** 1: stored transposed (W [in, out], A [in, r], B [r, out]); 0: as PyTorch has it. */
  readonly layouts: { readonly transW: 0 | 1; readonly transA: 0 | 1; readonly transB: 0 | 1 };
  /**
   * `adapted`: the base output is another adapter's result, not x·Wᵀ + bias. `recomputed`: it is that too, but what the
   * adapter changes of x·Wᵀ is added to it.
   */
  readonly form: { readonly base: string };
  readonly values: {
    readonly x: string;
    /** The module's output, in both graphs. */
    readonly y: string;
    readonly base: string;
    readonly weight: string | null;
    readonly loraA: string;
    readonly loraB: string;
    /** The adapter's result before it is scaled. */
    readonly lora?: string;
    /** null where the export holds g alone. */
    readonly magnitude: string | null;
    readonly bias: string | null;
    /** x·Wᵀ, of `recomputed` ones. */
    readonly product?: string;
    readonly gain: string;
  };
}

/** The values of the graph that enter the module. */
export function boundaries(module: ModuleDescription): string[] {
  const { form, values } = module;
  if (isComposition(module)) {
    const { base, lora, product } = module.values;
    return product === undefined ? [base, lora] : [base, lora, product];
  }
  return isChained(form) ? [values.x, values.base] : [values.x];
}

/** Whether the base is another adapter's result. */
export const isChained = ({ base }: ModuleDescription['form']) => base === 'adapted' || base === 'recomputed';

/** A module that is judged by its composition. */
export type Composition = ModuleDescription & { readonly values: { readonly lora: string } };

export const isComposition = (module: ModuleDescription): module is Composition =>
  module.kind !== 'linear' && module.values.lora !== undefined;
