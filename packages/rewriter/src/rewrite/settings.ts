import type { BodyTarget } from '../functions/form.js';

/** What a rewrite is asked for. */
export interface RewriteSettings {
  /** `linear`: DoraLinear. `compose`: the base product stays visible beside DoraCompose. */
  readonly form: 'linear' | 'compose';
  /**
   * `stored`: g is computed once and kept as an initializer. `runtime`: DoraScale computes it in the graph. `auto`:
   * stored where W, A, B and m are constants, else runtime.
   */
  readonly scale: 'auto' | 'stored' | 'runtime';
  /** Decides the function bodies of bfloat16 forms. */
  readonly target: BodyTarget;
}
