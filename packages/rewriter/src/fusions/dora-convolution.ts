import type { NodeProto } from '@ort-dora/onnx';
import { type Composition, matchComposition } from '../match/composition.js';
import {
  type Convolution,
  type Geometry,
  geometryOf,
  matchConvolution,
  matchConvolutionAdapter,
  matchConvolutionLayer,
  storedMatrix,
} from '../match/convolution.js';
import { matchConvolutionGain } from '../match/convolution-gain.js';
import type { BaseTerm, LinearLayer } from '../match/linear-layer.js';
import { deeper, type MatchResult, type Mismatch, matched, mismatch } from '../match/result.js';
import type { MatchScope } from '../match/scope.js';
import { isStandard, uncast, unwiden } from '../match/trace.js';
import type { Fusion, FusionContext } from './fusion.js';
import {
  baseOutput,
  innermostLayer,
  type LinearModule,
  linearModuleNames,
  magnitudeOrGain,
  matchBase,
  matchOutput,
  type ProvenLinearModule,
  recomputedProduct,
} from './linear-module.js';
import { isBias, PROVED, type Proof, proveParts, proveRecomputed, type Shapes, withoutZeros } from './linear-proof.js';
import { rewriteLinearModule } from './linear-rewrite.js';
import { matchStoredOrComputedGain } from './stored-or-computed-gain.js';

/**
 * DoRA on Conv1d, Conv2d and Conv3d: the convolutions stay, DoraCompose takes their results. W, A and B are proved and
 * multiplied as matrices with a row an output channel, which is how PEFT computes the norm.
 *
 * Grouped convolutions are replaced where the exporter has folded the norm; in the graph, their B·A only has the number
 * of elements of W, not its rows, and they are left alone. Dilation concerns the base layer alone: PEFT's own A has none.
 */
export const doraConvolution: Fusion<LinearModule, ProvenLinearModule> = {
  name: 'dora-convolution',
  kind: 'conv',
  pattern: matchConvolutionModule,
  check: (context, module) => proveConvolutionModule(withMatrices(context), module),
  names: linearModuleNames,
  rewrite: (context, module) => rewriteLinearModule(withMatrices(context), module),
};

function matchConvolutionModule(context: FusionContext, root: NodeProto): MatchResult<LinearModule> {
  const { scope } = context;
  const composition = matchComposition(scope, root);
  if (!composition.matched) return composition;
  const gain = matchStoredOrComputedGain(scope, composition.value.gain, matchConvolutionGain);
  if (!gain.matched) return groupedNorm(context, composition.value.base) ?? deeper(gain, 10);
  const lora = matchConvolutionAdapter(scope, uncast(scope, composition.value.lora));
  if (!lora.matched) return deeper(lora, 20);
  const base = matchBase(context, composition.value.base, matchConvolutionLayer);
  if (!base.matched) return deeper(base, 30);
  const layer = innermostLayer(base.value);
  const baseTerm = matchBaseTerm(scope, composition.value, baseOutput(base.value), layer);
  if (!baseTerm.matched) return deeper(baseTerm, 40);
  return matched({
    root,
    output: matchOutput(scope, root, scope.elementType(baseOutput(base.value))),
    division: gain.value.kind === 'norm' ? gain.value.norm.division : undefined,
    composition: composition.value,
    base: base.value,
    baseTerm: baseTerm.value,
    lora: lora.value,
    gain: gain.value,
  });
}

/** The norm of a grouped convolution is none of W's rows and B·A's: PEFT gives B·A the shape of W, but not its order. */
function groupedNorm({ scope }: FusionContext, base: string): Mismatch | undefined {
  const layer = matchConvolution(scope, uncast(scope, base));
  if (!layer.matched) return undefined;
  const { node } = layer.value;
  const { groups } = geometryOf(scope, node);
  if (groups === 1) return undefined;
  return mismatch(`the convolution has ${groups} groups, and its norm is not that of rows of W + s·B·A`, node, 60);
}

/** u: the base's result where it has no bias, less its bias where it has one, or computed again without it. */
function matchBaseTerm(
  scope: MatchScope,
  { baseTerm }: Composition,
  output: string,
  layer: LinearLayer,
): MatchResult<BaseTerm> {
  const term = uncast(scope, baseTerm);
  const node = scope.producer(term);
  if (term === uncast(scope, output)) {
    return layer.bias === undefined
      ? matched({ kind: 'product' })
      : mismatch('the base term still holds the bias', node);
  }
  if (node !== undefined && isStandard(node, 'Sub')) {
    const [minuend = '', subtrahend = ''] = node.input;
    return uncast(scope, minuend) === uncast(scope, output)
      ? matched({ kind: 'difference', subtrahend, node })
      : mismatch('the base term does not subtract the bias from the base layer', node);
  }
  const again = matchConvolution(scope, term);
  if (!again.matched) return again;
  if (again.value.bias !== undefined) return mismatch('the recomputed base term adds a bias', node);
  return matched({ kind: 'recomputed', product: asProduct(scope, again.value) });
}

function asProduct(scope: MatchScope, { node, output, x, weight }: Convolution) {
  return { node, output, x, weight: storedMatrix(scope, weight), addend: undefined };
}

async function proveConvolutionModule(
  context: FusionContext,
  module: LinearModule,
): Promise<MatchResult<ProvenLinearModule>> {
  const obligations = { shapes: proveShapes, layer: proveGeometry, bias: proveBias };
  const proven = await proveParts(context, module, obligations);
  if (!proven.matched) return proven;
  const { axes, ...parts } = proven.value;
  return matched({ ...parts, channels: { axis: 1, rank: axes }, isLinear: false, adapterFactor: 1 });
}

interface ConvolutionShapes extends Shapes {
  /** Of W, and of the result. */
  readonly axes: 3 | 4 | 5;
}

/** W `[out, in/groups, kernel…]`, A `[r, in, kernel…]`, B `[out, r/groups, 1…]`; m, g and g − 1 `[1, out, 1…]`. */
function proveShapes({ scope }: FusionContext, module: LinearModule): MatchResult<ConvolutionShapes> {
  const { lora, gain, composition, root } = module;
  const layer = innermostLayer(module.base);
  const node = layer.nodes[0];
  const sizes = (value: string) => {
    const shape = scope.shape(value);
    return shape === undefined || shape.includes(undefined) ? undefined : (shape as readonly number[]);
  };
  const [w, a, b] = [layer.weight.value, lora.loraA.value, lora.loraB.value].map(sizes);
  if (w === undefined || a === undefined || b === undefined) {
    return mismatch('the shapes of W, A and B are not known', node);
  }
  const [out = 0, ...rest] = w;
  const [rank = 0] = a;
  const pointwise = b.slice(2).every((size) => size === 1);
  if (b.length !== w.length || b[0] !== out || !pointwise || a.slice(2).join() !== w.slice(2).join()) {
    return mismatch(`A [${a}] and B [${b}] do not fit W [${w}]`, lora.nodes[0]);
  }
  const perChannel = [magnitudeOrGain(gain)];
  if (composition.excess.kind === 'constant') perChannel.push(composition.excess.value);
  for (const value of perChannel) {
    if (!isPerChannel(sizes(value), out, w.length)) {
      return mismatch(`"${value}" [${scope.shape(value) ?? '?'}] is not [1, ${out}, 1…]`, root);
    }
  }
  const inFeatures = rest.reduce((product, size) => product * size, 1);
  return matched({ outFeatures: out, inFeatures, rank, axes: w.length as 3 | 4 | 5 });
}

function isPerChannel(shape: readonly number[] | undefined, channels: number, axes: number): boolean {
  return shape?.length === axes && shape.every((size, axis) => size === (axis === 1 ? channels : 1));
}

/** A's kernel moves as W's does, B's is a point: then ℓ has a value for every one of y0. */
function proveGeometry({ scope }: FusionContext, module: LinearModule): Proof {
  const layer = innermostLayer(module.base);
  const [down, up] = module.lora.nodes as readonly [NodeProto, NodeProto];
  const base = geometryOf(scope, layer.nodes[0]!);
  const a = geometryOf(scope, down);
  const b = geometryOf(scope, up);
  const isPoint = a.kernel.every((size) => size === 1);
  if (a.groups !== 1 || !movesAs(a, base) || !(isPoint || a.dilations.join() === base.dilations.join())) {
    return mismatch("A's kernel does not move as W's does", down);
  }
  if (b.groups !== base.groups || !isPlain(b)) return mismatch('B is not applied to each point', up);
  if (module.baseTerm.kind !== 'recomputed') return PROVED;
  const again = geometryOf(scope, module.baseTerm.product.node);
  const same = JSON.stringify(again) === JSON.stringify(base);
  return same ? PROVED : mismatch('the recomputed convolution moves differently', module.baseTerm.product.node);
}

function movesAs(one: Geometry, other: Geometry): boolean {
  return one.strides.join() === other.strides.join() && one.padding === other.padding;
}

function isPlain({ kernel, strides, padding }: Geometry): boolean {
  const unpadded = padding === kernel.flatMap(() => [0, 0]).join();
  return strides.every((stride) => stride === 1) && unpadded;
}

/** The layer's bias, if it is not all zeros. */
async function proveBias(
  context: FusionContext,
  module: LinearModule,
  { outFeatures, axes }: ConvolutionShapes,
): Promise<MatchResult<string | undefined>> {
  const { scope } = context;
  const { baseTerm } = module;
  const { bias } = innermostLayer(module.base);
  if (baseTerm.kind === 'difference') {
    const { subtrahend, node } = baseTerm;
    const shape = scope.shape(subtrahend);
    if (!isPerChannel(shape as readonly number[] | undefined, outFeatures, axes)) {
      return mismatch(`what is subtracted [${shape ?? '?'}] is not [1, ${outFeatures}, 1…]`, node);
    }
    if (!(await isBias(context, elementsOf(scope, subtrahend), bias))) {
      return mismatch(`"${subtrahend}" is subtracted, which is not the layer's bias`, node);
    }
  }
  if (baseTerm.kind === 'recomputed') {
    const proof = await proveRecomputed(context, module, baseTerm.product);
    if (!proof.matched) return proof;
    if (recomputedProduct(module) !== undefined) return matched(undefined);
  }
  return matched(await withoutZeros(context, bias));
}

/** A vector behind reshapes, which leave its elements in order. */
function elementsOf(scope: MatchScope, value: string): string {
  const source = unwiden(scope, value);
  const node = scope.producer(source);
  return node !== undefined && isStandard(node, 'Reshape') ? unwiden(scope, node.input[0] ?? '') : source;
}

/** The same context, in which stored weights of convolutions are matrices with a row an output channel. */
function withMatrices<C extends FusionContext>(context: C): C {
  return {
    ...context,
    tensor: (value: string) => {
      const tensor = context.tensor(value);
      if (tensor === undefined || tensor.dims.length < 3) return tensor;
      const [rows = 0, ...rest] = tensor.dims;
      return { ...tensor, dims: [rows, rest.reduce((product, size) => product * size, 1)] };
    },
  };
}
