/** Finding DoRA in one graph: what is fused, and what only looks like it. */
import type { NodeProto } from '@ort-dora/onnx';
import type { FoundModule, Fusion, FusionContext } from '../fusions/fusion.js';
import { type Mismatch, mismatch } from '../match/result.js';
import { constantScalar } from '../match/scalar.js';
import type { MatchScope } from '../match/scope.js';
import { isStandard, plain, uncast } from '../match/trace.js';

/** A module that a fusion has proved. */
export interface ProvenModule {
  readonly status: 'proven';
  readonly fusion: Fusion;
  readonly module: FoundModule;
}

/** A norm or a composition that no fusion could replace. */
export interface RefusedModule {
  readonly status: 'refused';
  /** Where it was noticed. */
  readonly node: NodeProto;
  readonly failure: Mismatch;
  /** The fusion whose structure fitted, if one did. */
  readonly fusion: Fusion | undefined;
}

/** Nodes between a norm and the end of its composition at most. */
const LONGEST_COMPOSITION = 8;

/** Tries all fusions on all nodes of a scope, in order, so that the base of a chained adapter is proved before it. */
export async function findModules(
  scope: MatchScope,
  fusions: readonly Fusion[],
  base: Omit<FusionContext, 'scope' | 'moduleOf'>,
): Promise<readonly (ProvenModule | RefusedModule)[]> {
  const proven = new Map<string, FoundModule>();
  const context: FusionContext = { ...base, scope, moduleOf: (value) => proven.get(value) };
  const found: (ProvenModule | RefusedModule)[] = [];
  const failures = new Map<NodeProto, Mismatch>();
  const explained = new Set<NodeProto>();
  for (const root of scope.nodes) {
    base.signal?.throwIfAborted();
    for (const fusion of fusions) {
      const structure = fusion.pattern(context, root);
      if (!structure.matched) {
        const known = failures.get(root);
        if (known === undefined || structure.depth > known.depth) failures.set(root, structure);
        continue;
      }
      const module = structure.value;
      const proof = await fusion.check(context, module);
      if (module.division !== undefined) explained.add(module.division);
      if (proof.matched) {
        found.push({ status: 'proven', fusion, module: proof.value });
        proven.set(uncast(scope, proof.value.output), proof.value);
      } else {
        found.push({ status: 'refused', node: module.division ?? root, failure: proof, fusion });
      }
      break;
    }
  }
  for (const node of scope.nodes) {
    if (!isNormDivision(scope, node) || explained.has(node)) continue;
    found.push({ status: 'refused', node, failure: explain(scope, node, failures), fusion: undefined });
  }
  return found;
}

/**
 * A quotient of a magnitude, which is no activation, and a norm of a sum, either way round: what no other layer
 * computes.
 */
function isNormDivision(scope: MatchScope, node: NodeProto): boolean {
  if (!isStandard(node, 'Div')) return false;
  const [left = '', right = ''] = node.input;
  return [
    [left, right],
    [right, left],
  ].some(([magnitude = '', norm = '']) => isStoredVector(scope, magnitude) && leadsToNormOfSum(scope, norm));
}

/** A constant or an input of the graph, of more than one element: 1/‖x‖ is no quotient of a magnitude. */
function isStoredVector(scope: MatchScope, value: string): boolean {
  const source = uncast(scope, value);
  if (constantScalar(scope, source) !== undefined) return false;
  return scope.constant(source) !== undefined || scope.producer(source) === undefined;
}

/** Whether a value is a norm of a sum or a difference, in one node or several, perhaps with an epsilon or a clamp behind it. */
function leadsToNormOfSum(scope: MatchScope, value: string): boolean {
  let current = value;
  let isReduced = false;
  for (let step = 0; step < LONGEST_NORM; step++) {
    const producer = scope.producer(uncast(scope, current));
    if (producer === undefined) return false;
    if (isReduced && (isStandard(producer, 'Add') || isStandard(producer, 'Sub'))) return true;
    isReduced ||= REDUCTIONS.some((opType) => isStandard(producer, opType));
    const computed = producer.input.find((input) => input !== '' && scope.constant(plain(scope, input)) === undefined);
    if (computed === undefined) return false;
    current = computed;
  }
  return false;
}

/** What norms reduce by. A mean is none: that would be a normalisation of activations. */
const REDUCTIONS = ['ReduceL2', 'ReduceL1', 'ReduceSumSquare', 'ReduceSum', 'ReduceMax'];
/** Nodes from a divisor to the sum that it is the norm of at most: a clamp, a root, a sum, squares, magnitudes. */
const LONGEST_NORM = 8;

/** The failure that came furthest among the compositions that the norm leads to. */
function explain(scope: MatchScope, division: NodeProto, failures: ReadonlyMap<NodeProto, Mismatch>): Mismatch {
  let best: Mismatch | undefined;
  const seen = new Set([division]);
  let frontier = [division];
  for (let step = 0; step < LONGEST_COMPOSITION && frontier.length > 0; step++) {
    const next: NodeProto[] = [];
    for (const node of frontier) {
      for (const reader of node.output.flatMap((output) => scope.readers(output))) {
        if (seen.has(reader)) continue;
        seen.add(reader);
        next.push(reader);
        const failure = failures.get(reader);
        if (failure !== undefined && isStandard(reader, 'Add') && (best === undefined || failure.depth > best.depth)) {
          best = failure;
        }
      }
    }
    frontier = next;
  }
  return best ?? mismatch('g = m / ‖W + s·B·A‖ is not used by a composition that is known', division);
}
