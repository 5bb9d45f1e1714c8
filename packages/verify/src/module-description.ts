/** What is known of a fused module: names in the original graph, as the rewriter reports them. */

import type { ModuleName } from './result.js';

/** A fused module of `@ort-dora/rewriter`'s report is one. */
export interface ModuleDescription extends ModuleName {
  readonly rank: number;
  readonly scaling: number;
  /** Element types of the stored tensors. */
  readonly dtypes: { readonly weight: string; readonly adapter: string };
  /** 1: stored transposed (W [in, out], A [in, r], B [r, out]); 0: as PyTorch has it. */
  readonly layouts: { readonly transW: 0 | 1; readonly transA: 0 | 1; readonly transB: 0 | 1 };
  /** `adapted`: the base output is another adapter's result, not x·Wᵀ + bias. */
  readonly form: { readonly base: string };
  readonly values: {
    readonly x: string;
    /** The module's output, in both graphs. */
    readonly y: string;
    readonly base: string;
    readonly weight: string | null;
    readonly loraA: string;
    readonly loraB: string;
    /** null where the export holds g alone. */
    readonly magnitude: string | null;
    readonly bias: string | null;
    readonly gain: string;
  };
}

/** The values of the graph that enter the module. */
export const boundaries = ({ form, values }: ModuleDescription): string[] =>
  form.base === 'adapted' ? [values.x, values.base] : [values.x];
