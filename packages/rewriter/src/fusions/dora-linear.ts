import { matchGain } from '../match/gain.js';
import { matched } from '../match/result.js';
import type { Fusion } from './fusion.js';
import { type LinearModule, linearModuleNames, matchLinearModule, type ProvenLinearModule } from './linear-module.js';
import { proveLinearModule } from './linear-proof.js';
import { rewriteLinearModule } from './linear-rewrite.js';

/** DoRA on a Linear layer with the norm in the graph: `g = Div(m, ReduceL2(W + s·B·A))`. */
export const doraLinear: Fusion<LinearModule, ProvenLinearModule> = {
  name: 'dora-linear',
  kind: 'linear',
  pattern: (context, root) =>
    matchLinearModule(context, root, ({ gain }) => {
      const norm = matchGain(context.scope, gain);
      return norm.matched ? matched({ kind: 'norm', norm: norm.value }) : norm;
    }),
  check: proveLinearModule,
  names: linearModuleNames,
  rewrite: rewriteLinearModule,
};
