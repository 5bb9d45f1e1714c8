import { matchQuotient } from '../match/gain.js';
import { matched, mismatch } from '../match/result.js';
import { unwiden } from '../match/trace.js';
import type { Fusion } from './fusion.js';
import { type LinearModule, linearModuleNames, matchLinearModule, type ProvenLinearModule } from './linear-module.js';
import { proveLinearModule } from './linear-proof.js';
import { rewriteLinearModule } from './linear-rewrite.js';

/** DoRA on a Linear layer, exported with PEFT's cache of the norm filled (`DoraCaching`): `g = Div(m, constant)`. */
export const doraLinearCachedNorm: Fusion<LinearModule, ProvenLinearModule> = {
  name: 'dora-linear-cached-norm',
  kind: 'linear',
  pattern: (context, root) =>
    matchLinearModule(context, root, ({ gain }) => {
      const { scope } = context;
      const quotient = matchQuotient(scope, gain);
      if (!quotient.matched) return quotient;
      const { division, magnitude, norm } = quotient.value;
      if (scope.constant(unwiden(scope, norm)) === undefined) {
        return mismatch('the divisor of g is no constant', scope.producer(norm) ?? division);
      }
      if (scope.constant(unwiden(scope, magnitude)) === undefined) {
        return mismatch('the norm is a constant, but the magnitude is not', division, 1);
      }
      return matched({ kind: 'cached', quotient: quotient.value });
    }),
  check: proveLinearModule,
  names: linearModuleNames,
  rewrite: rewriteLinearModule,
};
