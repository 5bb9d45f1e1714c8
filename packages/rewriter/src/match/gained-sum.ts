import type { NodeProto } from '@ort-dora/onnx';
import { bothOrders, factorsOf } from './composition.js';
import { eitherOrder, firstMatch, type MatchResult, matched, mismatch } from './result.js';
import type { MatchScope } from './scope.js';
import { isStandard, uncast } from './trace.js';

/** The composition that PEFT writes for an embedding: `g·y0 + (g·ℓ)·s`, without g − 1. */
export interface GainedSum {
  /** The Add. */
  readonly root: NodeProto;
  /** y0. */
  readonly base: string;
  /** ℓ. */
  readonly lora: string;
  readonly gain: string;
  /** The numbers that g·ℓ is multiplied by: s, and the scale of a scaled embedding. */
  readonly numbers: readonly number[];
  readonly nodes: readonly NodeProto[];
}

/** Matches a sum `g·y0 + g·ℓ·s` with one g. */
export function matchGainedSum(scope: MatchScope, root: NodeProto): MatchResult<GainedSum> {
  if (!isStandard(root, 'Add')) return mismatch(`expected an Add, found ${root.opType}`, root);
  return eitherOrder(root, (baseTerm, loraTerm) => {
    const gained = scope.producer(uncast(scope, baseTerm));
    if (gained === undefined || !isStandard(gained, 'Mul')) return mismatch('the base term is not g·y0', gained);
    const { factors, numbers, nodes } = factorsOf(scope, loraTerm);
    if (factors.length !== 2) return mismatch('the adapter term is not g·ℓ·s', root);
    return firstMatch(
      bothOrders(gained.input).flatMap(([gain, base]) =>
        bothOrders(factors).map(([other, lora]) => () => {
          if (uncast(scope, gain) !== uncast(scope, other)) {
            return mismatch('the base and the adapter are not multiplied by one g', root);
          }
          return matched({ root, base, lora, gain, numbers, nodes: [...nodes, gained, root] });
        }),
      ),
    );
  });
}
