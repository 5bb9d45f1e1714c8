import { type Gain, matchGain } from '../match/gain.js';
import { type MatchResult, matched } from '../match/result.js';
import type { MatchScope } from '../match/scope.js';
import { uncast } from '../match/trace.js';
import type { LinearGain } from './linear-module.js';

/** g computed from a norm in the graph, or folded into a constant by the exporter. */
export function matchStoredOrComputedGain(
  scope: MatchScope,
  gain: string,
  matchNorm: (scope: MatchScope, gain: string) => MatchResult<Gain> = matchGain,
): MatchResult<LinearGain> {
  if (scope.constant(uncast(scope, gain)) !== undefined) return matched({ kind: 'constant', value: gain });
  const norm = matchNorm(scope, gain);
  return norm.matched ? matched({ kind: 'norm', norm: norm.value }) : norm;
}
