/** What must be proved of a {@link LinearModule} before it is replaced: one function an obligation. */
import type { NodeProto } from '@ort-dora/onnx';
import type { Eye } from '../match/eye.js';
import type { Gain } from '../match/gain.js';
import type { LayerForm } from '../match/linear-layer.js';
import type { LinearProduct } from '../match/product.js';
import { type MatchResult, matched, mismatch } from '../match/result.js';
import { type MatrixTrace, plain, unwiden } from '../match/trace.js';
import { isProductOf } from '../proofs/folded-delta.js';
import { countsFromZero, isIdentityMatrix } from '../proofs/identity-matrix.js';
import { sameMatrix } from '../proofs/same-matrix.js';
import { isExcessOf, isZeroVector, sameVector } from '../proofs/vectors.js';
import { floatType } from '../tensors/elements.js';
import type { StoredMatrix } from '../tensors/stored-tensor.js';
import type { FusionContext } from './fusion.js';
import {
  baseOutput,
  innermostLayer,
  type LinearModule,
  magnitudeOrGain,
  type ProvenLinearModule,
  recomputedProduct,
} from './linear-module.js';

export const PROVED = matched(undefined);
export type Proof = MatchResult<undefined>;

/** Proves a module around a Linear layer. */
export async function proveLinearModule(
  context: FusionContext,
  module: LinearModule,
): Promise<MatchResult<ProvenLinearModule>> {
  const proven = await proveParts(context, module, { shapes: proveShapes, layer: () => PROVED, bias: proveBias });
  if (!proven.matched) return proven;
  return matched({ ...proven.value, channels: { axis: -1 }, isLinear: true, adapterFactor: 1 });
}

/** What is to be proved of a layer of one kind and of none of another. */
export interface LayerObligations<Sizes extends Shapes> {
  shapes(context: FusionContext, module: LinearModule): MatchResult<Sizes>;
  layer(context: FusionContext, module: LinearModule): Proof;
  /** The bias that the operator must be given, undefined for none. */
  bias(context: FusionContext, module: LinearModule, shapes: Sizes): Promise<MatchResult<string | undefined>>;
}

/** What the proofs find out about a module of any kind. */
type ProvenParts = Pick<ProvenLinearModule, 'types' | 'baseValue' | 'scaling' | 'bias'>;

/** Proves a module: shapes and types first, then constants, the cheap ones before those that mean reading weights. */
export async function proveParts<Module extends LinearModule, Sizes extends Shapes>(
  context: FusionContext,
  module: Module,
  of: LayerObligations<Sizes>,
): Promise<MatchResult<Module & Sizes & ProvenParts>> {
  const shapes = of.shapes(context, module);
  if (!shapes.matched) return shapes;
  const types = proveTypes(context, module);
  if (!types.matched) return types;
  for (const proof of [proveScaling(module), proveInput(context, module), of.layer(context, module)]) {
    if (!proof.matched) return proof;
  }
  const bias = await of.bias(context, module, shapes.value);
  if (!bias.matched) return bias;
  const excess = await proveExcess(context, module);
  if (!excess.matched) return excess;
  if (module.gain.kind === 'norm') {
    const norm = await proveNorm(context, module, module.gain.norm, shapes.value);
    if (!norm.matched) return norm;
  }
  const { scaling } = module.composition;
  return matched({ ...module, ...shapes.value, ...types.value, scaling, bias: bias.value });
}

export interface Shapes {
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** Undefined where A and B are inputs of any rank: the products of the graph run for equal ones only. */
  readonly rank: number | undefined;
}

/** Layers whose result has all its axes, whatever the rank of their input. */
const ANY_RANK: ReadonlySet<LayerForm> = new Set<LayerForm>(['Gemm', 'Gemm+bias', 'Gather', 'Gather+Mul']);

/** W `[out, in]`, A `[r, in]`, B `[out, r]`, m and g of `out` elements, and activations with at least two axes. */
export function proveShapes({ scope }: FusionContext, module: LinearModule): MatchResult<Shapes> {
  const { root, lora, gain } = module;
  const layer = innermostLayer(module.base);
  const shapeOf = (trace: MatrixTrace) => {
    const shape = scope.shape(trace.value);
    return trace.transposed ? shape?.toReversed() : shape;
  };
  const w = shapeOf(layer.weight);
  const a = shapeOf(lora.loraA);
  const b = shapeOf(lora.loraB);
  const [outFeatures, inFeatures] = w ?? [];
  const [rank] = a ?? [];
  if (w?.length !== 2 || outFeatures === undefined || inFeatures === undefined) {
    return mismatch(`the shape of the base weight "${layer.weight.value}" is not known`, layer.nodes[0]);
  }
  if (a?.length !== 2 || b?.length !== 2) {
    return mismatch(`the shapes of "${lora.loraA.value}" and "${lora.loraB.value}" are not known`, lora.nodes[0]);
  }
  if (a[1] !== inFeatures || b[0] !== outFeatures || b[1] !== rank) {
    return mismatch(`A [${a}] and B [${b}] do not fit W [${w}]`, lora.nodes[0]);
  }
  for (const value of [magnitudeOrGain(gain), ...(gain.kind === 'cached' ? [gain.quotient.norm] : [])]) {
    const shape = scope.shape(value);
    if (shape?.join() !== `${outFeatures}` && shape?.join() !== `1,${outFeatures}`) {
      return mismatch(`"${value}" [${shape ?? '?'}] does not have one element per output`, root);
    }
  }
  const xRank = scope.shape(layer.x)?.length;
  if (!ANY_RANK.has(layer.form) && (xRank === undefined || xRank < 2)) {
    return mismatch(
      xRank === undefined
        ? `the rank of "${layer.x}" is not known, and one of 1 would make the result a row`
        : `"${layer.x}" is a single vector, of which the composition makes a row`,
      layer.nodes[0],
    );
  }
  return matched({ outFeatures, inFeatures, rank });
}

/** Types, and the value in which the base has the result's type. */
function proveTypes(
  { scope }: FusionContext,
  module: LinearModule,
): MatchResult<Pick<ProvenLinearModule, 'types' | 'baseValue'>> {
  const { lora, gain, root, composition } = module;
  const layer = innermostLayer(module.base);
  const typeOf = (value: string) => floatType(scope.elementType(value));
  const weight = typeOf(layer.weight.value);
  const looksUp = layer.form === 'Gather' || layer.form === 'Gather+Mul';
  if (weight === undefined || !(looksUp || typeOf(layer.x) === weight) || typeOf(layer.output) !== weight) {
    return mismatch('the base layer does not have one float type that the operators know', layer.nodes[0]);
  }
  const result = typeOf(module.output);
  if (result !== weight && result !== 'float32') {
    return mismatch(`the result is ${result ?? 'of unknown type'}, the base ${weight}`, root);
  }
  const baseValue = [baseOutput(module.base), plain(scope, composition.base)].find((value) => typeOf(value) === result);
  if (baseValue === undefined) return mismatch(`the base is nowhere ${result} as the result is`, root);
  const adapter = typeOf(lora.loraA.value);
  if (adapter === undefined || typeOf(lora.loraB.value) !== adapter) {
    return mismatch('A and B do not have one float type', lora.nodes[0]);
  }
  const magnitude = gain.kind === 'norm' ? typeOf(gain.norm.magnitude) : undefined;
  if (gain.kind === 'norm' && magnitude !== weight && magnitude !== 'float32') {
    return mismatch(
      `the magnitude is ${magnitude ?? 'of another type'}: expected ${weight} or float32`,
      gain.norm.division,
    );
  }
  return matched({ types: { result, weight, adapter, magnitude }, baseValue });
}

function proveScaling({ gain, composition, root }: LinearModule): Proof {
  const { scaling } = composition;
  if (!Number.isFinite(scaling)) return mismatch(`the scaling ${scaling} is not finite`, root);
  if (Math.fround(scaling) !== scaling) return mismatch(`the scaling ${scaling} is not a float32 number`, root);
  if (gain.kind === 'norm' && gain.norm.scaling !== scaling) {
    return mismatch(`the adapter is scaled by ${scaling} but by ${gain.norm.scaling} in the norm`, gain.norm.division);
  }
  return PROVED;
}

/** The adapter reads what the layer reads, or a wider copy of it. */
function proveInput({ scope }: FusionContext, module: LinearModule): Proof {
  const layer = innermostLayer(module.base);
  const x = plain(scope, layer.x);
  if (unwiden(scope, module.lora.x) !== x && unwiden(scope, module.lora.x) !== unwiden(scope, x)) {
    return mismatch(`the adapter reads "${module.lora.x}", the base layer "${layer.x}"`, module.lora.nodes[0]);
  }
  return PROVED;
}

/** The layer's bias, if it is not all zeros. */
async function proveBias(
  context: FusionContext,
  module: LinearModule,
  { outFeatures }: Shapes,
): Promise<MatchResult<string | undefined>> {
  const { scope } = context;
  const layer = innermostLayer(module.base);
  const bias = layer.bias;
  const biasNode = layer.nodes.at(-1);
  if (bias !== undefined) {
    const shape = scope.shape(bias);
    if (shape?.length !== 1 || shape[0] !== outFeatures) {
      return mismatch(`the bias "${bias}" [${shape ?? '?'}] does not have one element per output`, biasNode);
    }
  }
  const { baseTerm } = module;
  if (baseTerm.kind === 'difference') {
    const { subtrahend, node } = baseTerm;
    if (!(await isBias(context, unwiden(scope, subtrahend), bias))) {
      return mismatch(`"${subtrahend}" is subtracted, which is not the layer's bias`, node);
    }
  }
  if (baseTerm.kind === 'recomputed') {
    const proof = await proveRecomputed(context, module, baseTerm.product);
    if (!proof.matched) return proof;
    // What is added to another adapter's result has no bias; that result has it.
    if (recomputedProduct(module) !== undefined) return matched(undefined);
  }
  return matched(await withoutZeros(context, bias));
}

/** Whether a value is the layer's bias, or zeros where the layer has none. */
export async function isBias(context: FusionContext, value: string, bias: string | undefined): Promise<boolean> {
  const stored = context.tensor(value);
  if (bias === undefined) return stored !== undefined && (await isZeroVector(stored));
  const source = unwiden(context.scope, bias);
  if (value === source) return true;
  const other = context.tensor(source);
  return stored !== undefined && other !== undefined && (await sameVector(stored, other));
}

/** A bias that is worth adding: undefined where there is none, or only zeros. */
export async function withoutZeros(context: FusionContext, bias: string | undefined): Promise<string | undefined> {
  if (bias === undefined) return undefined;
  const stored = context.tensor(unwiden(context.scope, bias));
  return stored !== undefined && (await isZeroVector(stored)) ? undefined : plain(context.scope, bias);
}

/** A base term that is computed once more is that of the layer: the same x and the same weight. */
export async function proveRecomputed(
  context: FusionContext,
  module: LinearModule,
  product: LinearProduct,
): Promise<Proof> {
  const layer = innermostLayer(module.base);
  if (unwiden(context.scope, product.x) !== unwiden(context.scope, layer.x)) {
    return mismatch(`the base term is computed from "${product.x}", the layer from "${layer.x}"`, product.node);
  }
  const same = await proveSameMatrix(context, product.weight, layer.weight);
  return same ? PROVED : mismatch('the base term is computed with another weight than the layer', product.node);
}

async function proveExcess(context: FusionContext, module: LinearModule): Promise<Proof> {
  const { excess, gain, root } = module.composition;
  if (excess.kind === 'computed') return PROVED;
  const stored = context.tensor(unwiden(context.scope, excess.value));
  const g = context.tensor(unwiden(context.scope, gain));
  const proved = stored !== undefined && g !== undefined && (await isExcessOf(stored, g));
  return proved ? PROVED : mismatch(`"${excess.value}" is not g − 1`, root);
}

/** The norm is that of the same W, A and B that the layer and the adapter's path use. */
async function proveNorm(
  context: FusionContext,
  module: LinearModule,
  norm: Gain,
  { inFeatures }: Shapes,
): Promise<Proof> {
  const { delta, division } = norm;
  if (delta.kind === 'factors') {
    const eye = delta.eye === undefined ? PROVED : await proveEye(context, delta.eye, inFeatures, delta.nodes[0]);
    if (!eye.matched) return eye;
    if (!(await proveSameMatrix(context, delta.loraA, module.lora.loraA))) {
      return mismatch(`the norm's A "${delta.loraA.source}" is not proved to be the adapter's`, delta.nodes[0]);
    }
    if (!(await proveSameMatrix(context, delta.loraB, module.lora.loraB))) {
      return mismatch(`the norm's B "${delta.loraB.source}" is not proved to be the adapter's`, delta.nodes.at(-1));
    }
  } else {
    return proveFolded(context, module, norm, delta.matrix);
  }
  const layer = innermostLayer(module.base);
  if (!(await proveSameMatrix(context, norm.weight, layer.weight))) {
    return mismatch(`the norm's W "${norm.weight.source}" is not proved to be the layer's`, division);
  }
  return PROVED;
}

async function proveEye(
  context: FusionContext,
  eye: Eye,
  inFeatures: number,
  node: NodeProto | undefined,
): Promise<Proof> {
  if (eye.size !== inFeatures)
    return mismatch(`the identity matrix has ${eye.size} rows, W ${inFeatures} inputs`, node);
  switch (eye.kind) {
    case 'eyeLike':
      return PROVED;
    case 'equalEye': {
      for (const counter of eye.counters) {
        const stored = context.stored(counter);
        if (stored === undefined || !(await countsFromZero(stored))) {
          return mismatch(`"${counter.name ?? ''}" does not count 0, 1, 2, …`, node);
        }
      }
      return PROVED;
    }
    case 'constantEye': {
      const stored = context.stored(eye.matrix);
      const proved = stored !== undefined && (await isIdentityMatrix(stored, context.signal));
      return proved ? PROVED : mismatch(`"${eye.matrix.name ?? ''}" is not an identity matrix`, node);
    }
  }
}

/** W + s·D with a D that the exporter has folded; where s is 1, which of the two is W is found by trying. */
async function proveFolded(
  context: FusionContext,
  module: LinearModule,
  { weight, scaling, division }: Gain,
  delta: MatrixTrace,
): Promise<Proof> {
  const a = matrixOf(context, module.lora.loraA);
  const b = matrixOf(context, module.lora.loraB);
  const layer = innermostLayer(module.base);
  for (const [w, d] of scaling === 1
    ? [[weight, delta] as const, [delta, weight] as const]
    : [[weight, delta] as const]) {
    const folded = matrixOf(context, d);
    if (folded === undefined || a === undefined || b === undefined) continue;
    if (!(await proveSameMatrix(context, w, layer.weight))) continue;
    if (await isProductOf(folded, b, a, context.signal)) return PROVED;
  }
  return mismatch(`"${weight.source}" and "${delta.source}" are not proved to be the layer's W and B·A`, division);
}

/** One value and one orientation, or two stored matrices with the same numbers. */
async function proveSameMatrix(context: FusionContext, left: MatrixTrace, right: MatrixTrace): Promise<boolean> {
  if (left.source === right.source) return left.sourceTransposed === right.sourceTransposed;
  const a = matrixOf(context, left);
  const b = matrixOf(context, right);
  return a !== undefined && b !== undefined && (await sameMatrix(a, b, context.signal));
}

function matrixOf(context: FusionContext, trace: MatrixTrace): StoredMatrix | undefined {
  const tensor = context.tensor(trace.source);
  return tensor?.dims.length === 2 ? { tensor, transposed: trace.sourceTransposed } : undefined;
}
