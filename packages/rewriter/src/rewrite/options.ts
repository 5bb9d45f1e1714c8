import type { NormCompute } from '../norm/norm.js';
import type { NormProgress } from '../norm/pending-gains.js';
import type { RewriteReport } from '../report/report.js';

/** Options of `rewriteModel`; `inspectModel` takes those that decide what would be written. */
export interface RewriteOptions extends InspectOptions {
  /**
   * `true`: the output holds only tensors that are still used, each once. `false` (default): external data stays as it
   * is, referenced in place from the same folder, else linked or copied.
   */
  readonly compact?: boolean;
  /** Computes g of modules whose W, A, B and m are constants. Default: {@link denseNorms}, in float64 and slow. */
  readonly compute?: NormCompute;
}

export interface InspectOptions {
  /** `linear` (default): DoraLinear. `compose`: DoraCompose beside the base product, which other tools can then quantize. */
  readonly form?: 'linear' | 'compose';
  /** `auto` (default): g is stored where W, A, B and m are constants, else computed at run time. */
  readonly scale?: 'auto' | 'stored' | 'runtime';
  /** Decides the function bodies of bfloat16 forms. `auto` (default): cuda. */
  readonly target?: 'auto' | 'cuda' | 'cpu';
  readonly onProgress?: (progress: RewriteProgress) => void;
  readonly signal?: AbortSignal;
}

/** What happens during a rewrite, for progress displays. */
export type RewriteProgress =
  | { readonly stage: 'search'; readonly scope: string }
  | { readonly stage: 'fuse'; readonly path: string; readonly done: number; readonly total: number }
  | NormProgress
  | { readonly stage: 'write'; readonly file: string };

/** What `rewriteModel` did. */
export interface RewriteResult {
  readonly report: RewriteReport;
  /** The model written. */
  readonly output: string;
}
