import { matchFlattenedLayer } from '../match/flattened-layer.js';
import type { Fusion } from './fusion.js';
import { type LinearModule, linearModuleNames, matchLinearModule, type ProvenLinearModule } from './linear-module.js';
import { proveLinearModule } from './linear-proof.js';
import { rewriteLinearModule } from './linear-rewrite.js';
import { matchStoredOrComputedGain } from './stored-or-computed-gain.js';

/** DoRA on transformers' Conv1D (GPT-2): a Linear layer that flattens its input first. */
export const doraFlattenedLinear: Fusion<LinearModule, ProvenLinearModule> = {
  name: 'dora-flattened-linear',
  kind: 'linear',
  pattern: (context, root) =>
    matchLinearModule(context, root, ({ gain }) => matchStoredOrComputedGain(context.scope, gain), matchFlattenedLayer),
  check: proveLinearModule,
  names: linearModuleNames,
  rewrite: rewriteLinearModule,
};
