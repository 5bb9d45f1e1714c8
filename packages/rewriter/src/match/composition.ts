import type { NodeProto } from '@ort-dora/onnx';
import { deeper, firstMatch, type MatchResult, matched, mismatch } from './result.js';
import { constantScalar } from './scalar.js';
import type { MatchScope } from './scope.js';
import { isStandard, plain, uncast } from './trace.js';

/**
 * The composition that PEFT writes for every DoRA layer: `y0 + ((g − 1)·u + (g·ℓ)·s)`.
 *
 * Which values are the base, its term u and the adapter's ℓ is decided by structure; what they are is for the caller.
 */
export interface Composition {
  /** The last Add. */
  readonly root: NodeProto;
  /** y0. */
  readonly base: string;
  /** u. */
  readonly baseTerm: string;
  /** ℓ. */
  readonly lora: string;
  /** g as it is multiplied with ℓ: `[1, out]` or `[out]`. */
  readonly gain: string;
  /** g − 1, as multiplied with u; computed from `gain`, or a constant that must be proved to be it. */
  readonly excess: { readonly kind: 'computed' } | { readonly kind: 'constant'; readonly value: string };
  /** s on this path; 1 where nothing is multiplied. */
  readonly scaling: number;
  /** The nodes of the composition, the root last. */
  readonly nodes: readonly NodeProto[];
}

/** Matches a composition that ends in `root`. */
export function matchComposition(scope: MatchScope, root: NodeProto): MatchResult<Composition> {
  if (!isStandard(root, 'Add')) return mismatch(`expected an Add, found ${root.opType}`, root);
  const orders = termOrders(scope, root);
  if (orders.length === 0) return mismatch('the sum is not base + ((g − 1)·u + g·ℓ·s)', root);
  return firstMatch(
    orders.map(
      ([base, first, second, inner]) =>
        () =>
          matchTerms(scope, root, inner, base, first, second),
    ),
  );
}

type Terms = readonly [base: string, first: string, second: string, inner: NodeProto];

/** The sums of three that end in `root`, `a + (b + c)` in all orders. */
function termOrders(scope: MatchScope, root: NodeProto): Terms[] {
  const orders: Terms[] = [];
  const [left = '', right = ''] = root.input;
  for (const [outer, sum] of [
    [left, right],
    [right, left],
  ] as const) {
    const inner = scope.producer(uncast(scope, sum));
    if (inner === undefined || !isStandard(inner, 'Add')) continue;
    const [b = '', c = ''] = inner.input;
    for (const [base, first, second] of [
      [outer, b, c],
      [b, outer, c],
      [c, outer, b],
    ] as const) {
      orders.push([base, first, second, inner], [base, second, first, inner]);
    }
  }
  return orders;
}

function matchTerms(
  scope: MatchScope,
  root: NodeProto,
  inner: NodeProto,
  base: string,
  baseTerm: string,
  loraTerm: string,
): MatchResult<Composition> {
  const left = factorsOf(scope, baseTerm);
  const right = factorsOf(scope, loraTerm);
  if (left.scaling !== 1 || left.factors.length !== 2) return mismatch('the base term is not (g − 1)·u', root, 1);
  if (right.factors.length !== 2) return mismatch('the adapter term is not g·ℓ·s', root, 2);
  const nodes = [...left.nodes, ...right.nodes, inner, root];
  return firstMatch(
    bothOrders(left.factors).flatMap(([excess, u]) =>
      bothOrders(right.factors).map(([gain, lora]) => () => {
        const relation = matchExcess(scope, excess, gain);
        if (!relation.matched) return deeper(relation, 3);
        return matched({
          root,
          base,
          baseTerm: u,
          lora,
          gain,
          excess: relation.value.excess,
          scaling: right.scaling,
          nodes: [...relation.value.nodes, ...nodes],
        });
      }),
    ),
  );
}

/** g − 1 computed from the very g, or two constants, whose relation is proved later. */
function matchExcess(scope: MatchScope, excess: string, gain: string) {
  const source = uncast(scope, excess);
  const node = scope.producer(source);
  const isConstant = (value: string) => scope.constant(uncast(scope, value)) !== undefined;
  if (node !== undefined && isStandard(node, 'Sub')) {
    const [minuend = '', subtrahend = ''] = node.input;
    const isOfGain = uncast(scope, minuend) === uncast(scope, gain);
    const isLessOne = constantScalar(scope, subtrahend) === 1;
    if (isOfGain && isLessOne) return matched({ excess: { kind: 'computed' } as const, nodes: [node] });
    if (isOfGain) return mismatch('what is subtracted from g is not 1', node, 3);
    if (isLessOne) return mismatch('the base term is scaled by another g', node, 2);
  }
  if (isConstant(excess) && isConstant(gain)) {
    return matched({ excess: { kind: 'constant', value: excess } as const, nodes: [] });
  }
  return mismatch('the base term is not scaled by g − 1', node);
}

/** A product's factors: constants of one element, their product, and the rest in order. */
export function factorsOf(scope: MatchScope, value: string) {
  const factors: string[] = [];
  const numbers: number[] = [];
  const nodes: NodeProto[] = [];
  let scaling = 1;
  const pending = [value];
  while (pending.length > 0) {
    const factor = pending.shift() as string;
    const number = constantScalar(scope, factor);
    if (number !== undefined) {
      scaling *= number;
      numbers.push(number);
      continue;
    }
    const node = scope.producer(uncast(scope, factor));
    if (node !== undefined && isStandard(node, 'Mul') && nodes.length < 4) {
      nodes.unshift(node);
      pending.unshift(...node.input);
    } else {
      factors.push(plain(scope, factor));
    }
  }
  return { factors, numbers, scaling, nodes };
}

export function bothOrders(pair: readonly string[]): (readonly [string, string])[] {
  const [first = '', second = ''] = pair;
  return [
    [first, second],
    [second, first],
  ];
}
