/** DoRA on a Linear layer: the parts that its fusions share, from structure to proof. */
import { intAttribute, type NodeProto } from '@ort-dora/onnx';
import type { ChannelAxis, FloatType } from '../functions/form.js';
import { type Composition, matchComposition } from '../match/composition.js';
import type { Gain, Quotient } from '../match/gain.js';
import {
  type BaseTerm,
  type LinearLayer,
  type LowRankPath,
  matchBaseTerm,
  matchLinearLayer,
  matchLowRank,
} from '../match/linear-layer.js';
import { deeper, type MatchResult, matched } from '../match/result.js';
import type { MatchScope } from '../match/scope.js';
import { isIdentity, isStandard, uncast } from '../match/trace.js';
import type { FoundModule, FusionContext } from './fusion.js';

/** A DoRA composition around a Linear layer, by structure. */
export interface LinearModule extends FoundModule {
  readonly composition: Composition;
  readonly base: LinearBase;
  readonly baseTerm: BaseTerm;
  readonly lora: LowRankPath;
  readonly gain: LinearGain;
}

/** What is adapted: the layer itself, or the result of another adapter on the same layer. */
export type LinearBase =
  | { readonly kind: 'layer'; readonly layer: LinearLayer }
  | { readonly kind: 'adapted'; readonly output: string; readonly module: LinearModule };

/** g: computed in the graph, folded by the exporter, or m over a norm that PEFT had cached. */
export type LinearGain =
  | { readonly kind: 'norm'; readonly norm: Gain }
  | { readonly kind: 'constant'; readonly value: string }
  | { readonly kind: 'cached'; readonly quotient: Quotient };

/** A module of which everything is proved that replacing it relies on. */
export interface ProvenLinearModule extends LinearModule {
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** Undefined where A and B are inputs of any rank. */
  readonly rank: number | undefined;
  readonly scaling: number;
  readonly types: {
    /** T: of the result. */
    readonly result: FloatType;
    /** Of W, and of x. T for all but chained adapters on a half-precision layer, which add up in float32. */
    readonly weight: FloatType;
    /** U: of A and B. */
    readonly adapter: FloatType;
    readonly magnitude: FloatType | undefined;
  };
  /** The base's result in type T: what DoraCompose reads. */
  readonly baseValue: string;
  /** The layer's bias; undefined where it has none, or only zeros. */
  readonly bias: string | undefined;
  /** Where the channels of the result are. */
  readonly channels: ChannelAxis;
  /** Whether DoraLinear computes such a layer; of others the base stays, and DoraCompose is written beside it. */
  readonly isLinear: boolean;
  /** What the adapter's result is multiplied by besides s: the scale of a scaled embedding, else 1. */
  readonly adapterFactor: number;
}

/**
 * The layer's product x·Wᵀ, where a further adapter is not composed over the one before but over this, and its change of it
 * added: y = y0 + (g − 1)·x·Wᵀ + g·s·ℓ (PEFT before 0.14). Undefined for other modules.
 */
export function recomputedProduct({ base, baseTerm }: LinearModule): string | undefined {
  return base.kind === 'adapted' && baseTerm.kind === 'recomputed' ? baseTerm.product.output : undefined;
}

/** The layer below all adapters. */
export function innermostLayer(base: LinearBase): LinearLayer {
  return base.kind === 'layer' ? base.layer : innermostLayer(base.module.base);
}

/** Matches everything but g: composition, base layer or chained adapter, the base term, the adapter's path. */
export function matchLinearModule(
  context: FusionContext,
  root: NodeProto,
  matchLinearGain: (composition: Composition) => MatchResult<LinearGain>,
  matchLayer: (scope: MatchScope, value: string) => MatchResult<LinearLayer> = matchLinearLayer,
): MatchResult<LinearModule> {
  const { scope } = context;
  const composition = matchComposition(scope, root);
  if (!composition.matched) return composition;
  const { base: baseValue, baseTerm: termValue, lora: loraValue } = composition.value;

  const gain = matchLinearGain(composition.value);
  if (!gain.matched) return deeper(gain, 10);
  const lora = matchLowRank(scope, uncast(scope, loraValue));
  if (!lora.matched) return deeper(lora, 20);
  const base = matchBase(context, baseValue, matchLayer);
  if (!base.matched) return deeper(base, 30);

  const layer = innermostLayer(base.value);
  const baseTerm = matchBaseTerm(
    scope,
    termValue,
    {
      output: baseOutput(base.value),
      hasBias: layer.bias !== undefined,
    },
    (value) => uncast(scope, value),
  );
  if (!baseTerm.matched) return deeper(baseTerm, 40);

  const output = matchOutput(scope, root, scope.elementType(baseOutput(base.value)));
  return matched({
    root,
    output,
    division: gain.value.kind === 'constant' ? undefined : quotientOf(gain.value).division,
    composition: composition.value,
    base: base.value,
    baseTerm: baseTerm.value,
    lora: lora.value,
    gain: gain.value,
  });
}

/** m, or g where the export holds no m. */
export function magnitudeOrGain(gain: LinearGain): string {
  return gain.kind === 'constant' ? gain.value : quotientOf(gain).magnitude;
}

/** m over its norm. */
export function quotientOf(gain: Exclude<LinearGain, { kind: 'constant' }>): Pick<Quotient, 'division' | 'magnitude'> {
  return gain.kind === 'norm' ? gain.norm : gain.quotient;
}

/** The value that the composition adapts. */
export function baseOutput(base: LinearBase): string {
  return base.kind === 'layer' ? base.layer.output : base.output;
}

/** A base layer, or another adapter's result. */
export function matchBase(
  context: FusionContext,
  value: string,
  matchLayer: (scope: MatchScope, value: string) => MatchResult<LinearLayer>,
): MatchResult<LinearBase> {
  const output = uncast(context.scope, value);
  const module = context.moduleOf(output);
  if (module !== undefined) {
    // What is behind the module's sum may go with it; its result keeps its name.
    return matched({ kind: 'adapted', output: module.output, module: module as LinearModule });
  }
  const layer = matchLayer(context.scope, output);
  return layer.matched ? matched({ kind: 'layer', layer: layer.value }) : layer;
}

/** The result: the sum, or behind it what casts it back to the base's type, as long as nothing else reads the sum. */
export function matchOutput(scope: MatchScope, root: NodeProto, baseType: number | undefined): string {
  let output = root.output[0] ?? '';
  while (!scope.isOutput(output)) {
    const [reader, ...others] = scope.readers(output);
    if (reader === undefined || others.length > 0) break;
    const castsBack = isStandard(reader, 'Cast') && intAttribute(reader, 'to') === baseType;
    if (!castsBack && !isIdentity(scope, reader)) break;
    output = reader.output[0] ?? '';
  }
  return output;
}

/** Where PEFT's names may be left: the magnitude's first, since it names path and adapter. */
export function linearModuleNames({ gain, lora, base, composition }: LinearModule) {
  const layer = innermostLayer(base);
  const norm = gain.kind === 'constant' ? [] : [quotientOf(gain).division];
  return {
    tensors: [
      magnitudeOrGain(gain),
      ...[lora.loraA, lora.loraB].map(({ source }) => source),
      ...(gain.kind === 'norm' && gain.norm.delta.kind === 'factors'
        ? [gain.norm.delta.loraA.source, gain.norm.delta.loraB.source]
        : []),
      layer.weight.source,
      ...(layer.bias === undefined ? [] : [layer.bias]),
    ],
    nodes: [...norm, ...composition.nodes, ...lora.nodes, ...layer.nodes],
  };
}
