import { doraConvolution } from './dora-convolution.js';
import { doraEmbedding } from './dora-embedding.js';
import { doraFlattenedLinear } from './dora-flattened-linear.js';
import { doraLinear } from './dora-linear.js';
import { doraLinearCachedNorm } from './dora-linear-cached-norm.js';
import { doraLinearConstantGain } from './dora-linear-constant-gain.js';
import type { Fusion } from './fusion.js';

/** All fusions, in the order in which they are tried on a node. */
export const FUSIONS: readonly Fusion[] = [
  // Before the plain layer, which would take a flattened input for another one than the adapter's.
  doraFlattenedLinear,
  doraLinear,
  doraLinearCachedNorm,
  doraLinearConstantGain,
  doraEmbedding,
  doraConvolution,
] as readonly Fusion[];
