import { doraLinear } from './dora-linear.js';
import { doraLinearConstantGain } from './dora-linear-constant-gain.js';
import type { Fusion } from './fusion.js';

/** All fusions, in the order in which they are tried on a node. */
export const FUSIONS: readonly Fusion[] = [doraLinear, doraLinearConstantGain] as readonly Fusion[];
