import type { NodeProto } from '@ort-dora/onnx';
import { type EmbeddingLayer, matchEmbeddingAdapter, matchEmbeddingLayer } from '../match/embedding-layer.js';
import { type GainedSum, matchGainedSum } from '../match/gained-sum.js';
import { deeper, type MatchResult, matched, mismatch } from '../match/result.js';
import type { MatchScope } from '../match/scope.js';
import { uncast } from '../match/trace.js';
import type { Fusion, FusionContext } from './fusion.js';
import {
  baseOutput,
  innermostLayer,
  type LinearBase,
  type LinearGain,
  type LinearModule,
  linearModuleNames,
  matchBase,
  matchOutput,
  type ProvenLinearModule,
} from './linear-module.js';
import { PROVED, type Proof, proveParts, proveShapes } from './linear-proof.js';
import { rewriteLinearModule } from './linear-rewrite.js';
import { matchStoredOrComputedGain } from './stored-or-computed-gain.js';

/** DoRA on an embedding: a layer of `vocab` inputs, whose W·x is a lookup. Its norms run over the vocabulary, as in PEFT. */
interface EmbeddingModule extends LinearModule {
  /** What ℓ is multiplied by besides s. */
  readonly adapterFactor: number;
}

/** DoRA on an embedding, scaled or not: DoraCompose over both lookups. */
export const doraEmbedding: Fusion<EmbeddingModule, EmbeddingModule & ProvenLinearModule> = {
  name: 'dora-embedding',
  kind: 'embedding',
  pattern: matchEmbeddingModule,
  check: proveEmbeddingModule,
  names: linearModuleNames,
  rewrite: rewriteLinearModule,
};

function matchEmbeddingModule(context: FusionContext, root: NodeProto): MatchResult<EmbeddingModule> {
  const { scope } = context;
  const sum = matchGainedSum(scope, root);
  if (!sum.matched) return sum;
  const gain = matchStoredOrComputedGain(scope, sum.value.gain);
  if (!gain.matched) return deeper(gain, 10);
  const lora = matchEmbeddingAdapter(scope, uncast(scope, sum.value.lora));
  if (!lora.matched) return deeper(lora, 20);
  const base = matchBase(context, sum.value.base, matchEmbeddingLayer);
  if (!base.matched) return deeper(base, 30);

  const layer = innermostLayer(base.value) as EmbeddingLayer;
  const { scaling, adapterFactor } = splitScaling(sum.value, layer.scale, gain.value);
  return matched({
    root,
    output: outputOf(scope, root, base.value, layer.scale),
    division: gain.value.kind === 'norm' ? gain.value.norm.division : undefined,
    composition: { ...sum.value, baseTerm: sum.value.base, excess: { kind: 'computed' }, scaling },
    base: base.value,
    baseTerm: { kind: 'product' },
    lora: lora.value,
    gain: gain.value,
    adapterFactor,
  });
}

/**
 * The result in the embedding's type; of a scaled embedding in half precision the sum in the adapter's wider type, since
 * runtimes that scale in float32 on the way there would otherwise round twice.
 */
function outputOf(scope: MatchScope, root: NodeProto, base: LinearBase, scale: number): string {
  const [sum = ''] = root.output;
  const type = scope.elementType(baseOutput(base));
  return scale !== 1 && scope.elementType(sum) !== type ? sum : matchOutput(scope, root, type);
}

/**
 * What is s of the numbers that the adapter's term is multiplied by, and what the embedding's own scale: PEFT since 0.18
 * multiplies by both, before by s alone. The norm's path tells s; where that is folded, a scale among the numbers does.
 */
function splitScaling({ numbers }: GainedSum, scale: number, gain: LinearGain) {
  const product = numbers.reduce((total, number) => total * number, 1);
  const scaled = gain.kind === 'norm' ? product / scale === gain.norm.scaling : numbers.includes(scale);
  return scaled && scale !== 1
    ? { scaling: product / scale, adapterFactor: scale }
    : { scaling: product, adapterFactor: 1 };
}

async function proveEmbeddingModule(
  context: FusionContext,
  module: EmbeddingModule,
): Promise<MatchResult<EmbeddingModule & ProvenLinearModule>> {
  const bias = async () => matched(undefined);
  const proven = await proveParts(context, module, { shapes: proveShapes, layer: () => proveScale(module), bias });
  return proven.matched ? matched({ ...proven.value, channels: { axis: -1 }, isLinear: false }) : proven;
}

function proveScale({ base }: EmbeddingModule): Proof {
  const { scale, nodes } = innermostLayer(base) as EmbeddingLayer;
  return Number.isFinite(scale) ? PROVED : mismatch(`the embedding is scaled by ${scale}`, nodes.at(-1));
}
