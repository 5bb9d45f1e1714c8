/** Which layers of a base export the modules of an adapter are. */

import { sameMatrix } from '../proofs/same-matrix.js';
import type { StoredMatrix } from '../tensors/stored-tensor.js';
import type { BaseModel } from './attach-graph.js';
import type { BaseLayer, LayerKind } from './base-layers.js';
import { type LayerName, segmentsOf } from './layer-names.js';
import { FITS, fitOf, type PathFit, sharedEnd } from './paths.js';

/** A module that an adapter adapts. */
export interface Target {
  /** PEFT module path. */
  readonly path: string;
  readonly kind: LayerKind;
  /** Of the base weight, as {@link BaseLayer.weightShape}; undefined entries are not known from the adapter. */
  readonly weightShape: readonly (number | undefined)[];
}

/** The layers that a module is: several where a graph calls it several times. */
export interface FoundTarget {
  readonly target: Target;
  readonly layers: readonly BaseLayer[];
  readonly fit: PathFit;
  /** What identified it. */
  readonly name: LayerName;
}

/** Why a module is not found. */
export interface TargetProblem {
  readonly path: string;
  readonly problem: 'missing' | 'ambiguous' | 'shape' | 'adapted';
  /** One clause for people. */
  readonly reason: string;
  /** Layers that it may be, or that look most like it. */
  readonly candidates: readonly string[];
}

export interface TargetSearch {
  readonly found: readonly FoundTarget[];
  readonly problems: readonly TargetProblem[];
}

/**
 * Finds each module among the layers of one model by its path. Among those whose paths fit best there must be one weight,
 * of the module's shape; and no layer may be two modules.
 */
export async function findTargets(
  targets: readonly Target[],
  { layers, adapted }: Pick<BaseModel, 'layers' | 'adapted'>,
  signal?: AbortSignal,
): Promise<TargetSearch> {
  const leaf = ({ name }: NamedLayer) => name.segments.at(-1)!;
  const named: NamedLayers = {
    byLeaf: groupBy(
      layers.flatMap((layer) => layer.names.map((name) => ({ layer, name }))),
      leaf,
    ),
    sharedByLeaf: groupBy(
      layers.flatMap((layer) => layer.ofSharedWeight.map((name) => ({ layer, name }))),
      leaf,
    ),
  };
  const found: FoundTarget[] = [];
  const problems: TargetProblem[] = [];
  for (const target of targets) {
    signal?.throwIfAborted();
    const result = await findTarget(target, named, adapted, signal);
    if ('layers' in result) found.push(result);
    else problems.push(result);
  }
  return withoutClaimedTwice(found, problems);
}

interface NamedLayer {
  readonly layer: BaseLayer;
  readonly name: LayerName;
}

/** Layers by the last segment of their paths. */
interface NamedLayers {
  readonly byLeaf: ReadonlyMap<string, readonly NamedLayer[]>;
  readonly sharedByLeaf: ReadonlyMap<string, readonly NamedLayer[]>;
}

async function findTarget(
  target: Target,
  { byLeaf, sharedByLeaf }: NamedLayers,
  adapted: readonly (readonly string[])[],
  signal: AbortSignal | undefined,
): Promise<FoundTarget | TargetProblem> {
  const { path, kind } = target;
  const wanted = segmentsOf(path);
  const problem = (
    what: TargetProblem['problem'],
    reason: string,
    candidates: readonly BaseLayer[],
  ): TargetProblem => ({
    path,
    problem: what,
    reason,
    candidates: [...new Set(candidates.map(describeLayer))],
  });
  const sameLeaf = byLeaf.get(wanted.at(-1) ?? '') ?? [];
  const ofKind = ({ layer }: NamedLayer) => layer.kind === kind;
  const shared = (sharedByLeaf.get(wanted.at(-1) ?? '') ?? []).filter(({ name }) => {
    const fit = fitOf(wanted, name.segments);
    return fit === 'whole' || fit === 'longer';
  });
  const fitting = bestFitting(sameLeaf.filter(ofKind), wanted) ?? bestFitting(shared.filter(ofKind), wanted);
  if (fitting === undefined) {
    if (adapted.some((segments) => fitOf(wanted, segments) !== undefined)) {
      return problem('adapted', 'adapted in this model already: attach to the export of the base', []);
    }
    const packed = packedInto(wanted, byLeaf);
    if (packed !== undefined) return problem('missing', packed.reason, [packed.layer]);
    return problem('missing', missingReason(target, sameLeaf), closest(sameLeaf, wanted));
  }
  const { fit, named } = fitting;
  const shaped = named.filter(({ layer }) => fitsShape(target, layer));
  if (shaped.length === 0) {
    const [{ layer }] = named as [NamedLayer];
    const reason = `the weight is [${layer.weightShape}], and the adapter is made for [${shapeText(target.weightShape)}]`;
    return problem(
      'shape',
      reason,
      named.map((each) => each.layer),
    );
  }
  const [{ layer: first, name }] = shaped as [NamedLayer];
  const all = [...new Set(shaped.map(({ layer }) => layer))];
  for (const other of all.slice(1)) {
    if (!(await sameWeight(first, other, signal))) {
      return problem('ambiguous', `${all.length} layers with different weights have that path`, all);
    }
  }
  return { target, layers: all, fit, name };
}

const MOST_CANDIDATES = 3;

/** Layers whose paths share most of their end with the module's. */
function closest(named: readonly NamedLayer[], wanted: readonly string[]): readonly BaseLayer[] {
  return named
    .map(({ layer, name }) => ({ layer, shared: sharedEnd(wanted, name.segments) }))
    .sort((left, right) => right.shared - left.shared)
    .slice(0, MOST_CANDIDATES)
    .map(({ layer }) => layer);
}

/** Those of the best fit; among paths that are shorter than the module's, those that share most with it. */
function bestFitting(
  candidates: readonly NamedLayer[],
  wanted: readonly string[],
): { readonly fit: PathFit; readonly named: readonly NamedLayer[] } | undefined {
  for (const fit of FITS) {
    const named = candidates.filter(({ name }) => fitOf(wanted, name.segments) === fit);
    if (named.length === 0) continue;
    if (fit === 'longer') return { fit, named };
    const longest = Math.max(...named.map(({ name }) => name.segments.length));
    return { fit, named: named.filter(({ name }) => name.segments.length === longest) };
  }
  return undefined;
}

/** Layers that exports multiply together, and what they call them then. */
const PACKED: ReadonlyMap<string, string> = new Map([
  ['q_proj', 'qkv_proj'],
  ['k_proj', 'qkv_proj'],
  ['v_proj', 'qkv_proj'],
  ['gate_proj', 'gate_up_proj'],
  ['up_proj', 'gate_up_proj'],
]);

/** What to do about a product that packs several layers. */
const UNPACK: Readonly<Record<string, string>> = {
  qkv_proj:
    "build the export with each by itself (onnxruntime-genai's builder: --extra_options disable_qkv_fusion=true)",
  gate_up_proj: 'an adapter of the packed layer, or an export with each by itself, is needed',
};

function packedInto(
  wanted: readonly string[],
  byLeaf: NamedLayers['byLeaf'],
): { readonly layer: BaseLayer; readonly reason: string } | undefined {
  const leaf = PACKED.get(wanted.at(-1) ?? '');
  if (leaf === undefined) return undefined;
  const together = [...wanted.slice(0, -1), leaf];
  const found = byLeaf.get(leaf)?.find(({ name }) => fitOf(together, name.segments) !== undefined);
  const reason = `packed with its neighbours into one product ${leaf}; ${UNPACK[leaf]}`;
  return found && { layer: found.layer, reason };
}

function missingReason({ kind }: Target, sameLeaf: readonly NamedLayer[]): string {
  const other = sameLeaf.find(({ layer }) => layer.kind !== kind);
  if (other !== undefined && sameLeaf.every(({ layer }) => layer.kind !== kind)) {
    return `no ${KIND[kind]} in this export, but ${ARTICLE_KIND[other.layer.kind]}`;
  }
  return `no ${KIND[kind]} of this export has that path`;
}

const KIND: Readonly<Record<LayerKind, string>> = {
  linear: 'linear layer',
  embedding: 'embedding',
  conv: 'convolution',
};
const ARTICLE_KIND: Readonly<Record<LayerKind, string>> = {
  linear: 'a linear layer',
  embedding: 'an embedding',
  conv: 'a convolution',
};

function fitsShape({ weightShape }: Target, layer: BaseLayer): boolean {
  return (
    weightShape.length === layer.weightShape.length &&
    weightShape.every((dim, index) => dim === undefined || dim === layer.weightShape[index])
  );
}

/** One stored tensor, or two with the same numbers (each branch of an If may have its own copy). */
export async function sameWeight(left: BaseLayer, right: BaseLayer, signal: AbortSignal | undefined): Promise<boolean> {
  const [a, b] = [left, right].map(({ facts, weight }) => facts.constant(weight.source));
  if (a !== undefined && a === b) return left.weight.quantizedBy === right.weight.quantizedBy;
  if (
    left.weightShape.length !== 2 ||
    left.weight.quantizedBy !== undefined ||
    right.weight.quantizedBy !== undefined
  ) {
    return false;
  }
  return sameMatrix(storedMatrix(left), storedMatrix(right), signal);
}

function storedMatrix({ weight }: BaseLayer): StoredMatrix {
  return { tensor: weight.numbers, transposed: weight.numbersTransposed === 1 };
}

/** A layer that two modules claim is neither's for sure. */
function withoutClaimedTwice(found: readonly FoundTarget[], problems: readonly TargetProblem[]): TargetSearch {
  const claims = groupBy(
    found.flatMap(({ target, layers }) => layers.map((layer) => ({ target, layer }))),
    ({ layer }) => layer,
  );
  const twice = new Map<FoundTarget, string>();
  for (const each of found) {
    const others = each.layers.flatMap((layer) => claims.get(layer)!).filter(({ target }) => target !== each.target);
    if (others.length > 0) twice.set(each, others[0]!.target.path);
  }
  return {
    found: found.filter((each) => !twice.has(each)),
    problems: [
      ...problems,
      ...[...twice].map(([{ target, layers }, other]) => ({
        path: target.path,
        problem: 'ambiguous' as const,
        reason: `the same layer fits ${other}`,
        candidates: layers.map(describeLayer),
      })),
    ],
  };
}

/** `/layers.0/fc/MatMul [24,24]`. */
function describeLayer({ node, names, weightShape }: BaseLayer): string {
  const name = names[0]?.segments.join('.') ?? '';
  const shown =
    node.name?.startsWith('/') || name === '' ? node.name || (node.output[0] ?? '') : `${name} (${node.name})`;
  return `${shown} [${weightShape}]`;
}

function shapeText(shape: Target['weightShape']): string {
  return shape.map((dim) => dim ?? '?').join(',');
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): ReadonlyMap<K, readonly T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
