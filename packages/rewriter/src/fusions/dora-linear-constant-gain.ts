import { matched, mismatch } from '../match/result.js';
import { uncast } from '../match/trace.js';
import type { Fusion } from './fusion.js';
import { type LinearModule, linearModuleNames, matchLinearModule, type ProvenLinearModule } from './linear-module.js';
import { proveLinearModule } from './linear-proof.js';
import { rewriteLinearModule } from './linear-rewrite.js';

/** DoRA on a Linear layer whose norm the exporter has folded: g, and mostly g − 1 too, are constants. */
export const doraLinearConstantGain: Fusion<LinearModule, ProvenLinearModule> = {
  name: 'dora-linear-constant-gain',
  kind: 'linear',
  pattern: (context, root) =>
    matchLinearModule(context, root, ({ gain }) => {
      if (context.scope.constant(uncast(context.scope, gain)) === undefined) {
        return mismatch('g is neither computed from a norm nor a constant', root);
      }
      return matched({ kind: 'constant', value: gain });
    }),
  check: proveLinearModule,
  names: linearModuleNames,
  rewrite: rewriteLinearModule,
};
