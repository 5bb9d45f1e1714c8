/** Reading the `ort.dora` operators of a model back as modules. */

import { intAttribute, type ModelView, type NodeProto, type Scope, type TensorProto } from '@ort-dora/onnx';
import { type BaseLayer, baseLayers } from '../attach/base-layers.js';
import { readProvenance } from '../attach/provenance.js';
import { DORA_DOMAIN } from '../functions/function.js';
import { type Geometry, geometryOf, matchConvolution, matchConvolutionAdapter } from '../match/convolution.js';
import { matchEmbeddingAdapter } from '../match/embedding-layer.js';
import { type LowRankPath, matchLowRank } from '../match/linear-layer.js';
import { matchScopes, type SmallConstants } from '../match/model-facts.js';
import { firstMatch, type MatchResult, type Mismatch, matched, mismatch } from '../match/result.js';
import { constantScalar } from '../match/scalar.js';
import type { MatchScope } from '../match/scope.js';
import { isStandard, type MatrixTrace, plain, traceMatrix, transposedTrace, uncast, unwiden } from '../match/trace.js';
import { floatType } from '../tensors/elements.js';
import type { FloatTensor, StoredTensor } from '../tensors/stored-tensor.js';
import {
  baseWeight,
  chainOf,
  type FusedBase,
  type FusedBias,
  type FusedGain,
  type FusedMatrix,
  type FusedModule,
  type FusedWeight,
} from './fused-module.js';

/** An operator that could not be read back. */
export interface UnreadModule extends Pick<FusedModule, 'node' | 'facts' | 'path' | 'adapter'> {
  readonly failure: Mismatch;
}

export interface FoundFused {
  /** In the order of the graph, so that what another one adapts comes before it. */
  readonly modules: readonly FusedModule[];
  readonly unread: readonly UnreadModule[];
}

/** All DoraLinear and DoraCompose of a model, and those of a bank as unread. */
export function findFused(
  view: ModelView,
  stored: (tensor: TensorProto) => StoredTensor | undefined,
  smallConstants: SmallConstants,
): FoundFused {
  const names = readProvenance(view.model)?.modules ?? new Map<string, string>();
  const modules: FusedModule[] = [];
  const unread: UnreadModule[] = [];
  const numbers = new Map([...view.scopes()].map((scope, index) => [scope, index]));
  for (const [scope, facts] of matchScopes(view, smallConstants)) {
    if ('domain' in scope.proto && scope.proto.domain === DORA_DOMAIN) continue;
    const reader = new Reader(scope, facts, stored, numbers);
    for (const node of scope.nodes) {
      if (node.domain !== DORA_DOMAIN || node.opType === 'DoraScale') continue;
      const name = moduleName(node, names);
      const found = reader.read(node, name);
      if (found.matched) modules.push(found.value);
      else unread.push({ node, facts, ...name, failure: found });
    }
  }
  return { modules, unread };
}

type ModuleName = Pick<FusedModule, 'path' | 'adapter'>;

/** The path that attaching remembered, else from the name of g, else from the node's. */
function moduleName(node: NodeProto, names: ReadonlyMap<string, string>): ModuleName {
  const name = node.name ?? '';
  const remembered = names.get(name);
  if (remembered !== undefined) return { path: remembered, adapter: undefined };
  const gain = /^(.*)\.dora_gain(?:\.(.+?))?(?:_\d+)?$/.exec(node.input[node.opType === 'DoraLinear' ? 4 : 2] ?? '');
  if (gain !== null) return { path: gain[1] ?? '', adapter: gain[2] };
  const [path = '', adapter] = name.split('/');
  return { path, adapter };
}

/** More adapters than anybody has on one layer: chains are followed by recursion. */
const MOST_CHAINED = 64;

/** Reads the operators of one graph, in order. */
class Reader {
  readonly #layers = new Map<string, BaseLayer>();
  readonly #modules = new Map<string, FusedModule>();

  constructor(
    private readonly scope: Scope,
    private readonly facts: MatchScope,
    private readonly stored: (tensor: TensorProto) => StoredTensor | undefined,
    private readonly numbers: ReadonlyMap<Scope, number>,
  ) {
    for (const layer of baseLayers(scope, facts, (value) => this.#constant(value))) {
      this.#layers.set(layer.product, layer);
      const sum = layer.bias?.addition?.output[0];
      if (sum !== undefined) this.#layers.set(sum, layer);
    }
  }

  read(node: NodeProto, name: ModuleName): MatchResult<FusedModule> {
    const found = node.opType === 'DoraLinear' ? this.#linear(node, name) : this.#compose(node, name);
    if (found.matched) this.#modules.set(node.output[0] ?? '', found.value);
    return found;
  }

  #linear(node: NodeProto, name: ModuleName): MatchResult<FusedModule> {
    const [, w = '', a = '', b = '', g = '', bias = ''] = node.input;
    const matrix = (value: string, flag: string) =>
      this.#matrix(orientedTrace(traceMatrix(this.facts, value), intAttribute(node, flag) === 1), node);
    const weight = matrix(w, 'transW');
    if (!weight.matched) return weight;
    const loraA = matrix(a, 'transA');
    if (!loraA.matched) return loraA;
    const loraB = matrix(b, 'transB');
    if (!loraB.matched) return loraB;
    const type = floatType(this.facts.elementType(w)) ?? weight.value.tensor.type;
    const base = { kind: 'inside' as const, weight: { ...weight.value, type, quantizedBy: undefined } };
    return this.#module(node, name, { kind: 'linear', base, loraA: loraA.value, loraB: loraB.value, g, bias });
  }

  #compose(node: NodeProto, name: ModuleName): MatchResult<FusedModule> {
    if (node.opType !== 'DoraCompose')
      return mismatch(`it is a ${node.opType}, whose adapters are not in the model`, node);
    const [baseValue = '', loraValue = '', g = '', bias = ''] = node.input;
    const base = this.#base(baseValue, node);
    if (!base.matched) return base;
    const lora = this.#adapter(loraValue, base.value.scale, node);
    if (!lora.matched) return lora;
    const layer = innermostLayer(base.value.base);
    if (inputSource(this.facts, lora.value.x) !== inputSource(this.facts, layer.x)) {
      return mismatch(`the adapter reads "${lora.value.x}", and its base "${layer.x}"`, lora.value.nodes[0]);
    }
    const [down, up] = lora.value.nodes as readonly [NodeProto, NodeProto];
    if (layer.node?.opType === 'Conv') {
      const { groups } = geometryOf(this.facts, layer.node);
      if (groups !== 1) return mismatch(`it is on a convolution in ${groups} groups`, layer.node);
      if (!movesAlike(this.facts, layer.node, down, up)) {
        return mismatch("the adapter's kernels do not move as its base's does", down);
      }
    }
    const loraA = this.#matrix(lora.value.loraA, node);
    if (!loraA.matched) return loraA;
    const loraB = this.#matrix(lora.value.loraB, node);
    if (!loraB.matched) return loraB;
    const kind = kindOf(base.value.base);
    return this.#module(node, name, { kind, base: base.value.base, loraA: loraA.value, loraB: loraB.value, g, bias });
  }

  #module(
    node: NodeProto,
    name: ModuleName,
    parts: Pick<FusedModule, 'kind' | 'base' | 'loraA' | 'loraB'> & { readonly g: string; readonly bias: string },
  ): MatchResult<FusedModule> {
    const { kind, base, loraA, loraB, g, bias } = parts;
    const [rank, inFeatures] = sizes(loraA);
    const [outFeatures, rankOfB] = sizes(loraB);
    const weight = base.kind === 'adapted' ? baseWeight(base.module) : base.weight;
    const [rows, columns] = sizes(weight);
    if (rank !== rankOfB || rows !== outFeatures || columns !== inFeatures) {
      return mismatch('the sizes of W, A and B do not fit', node);
    }
    const gain = this.#gain(g, node, [weight, loraA, loraB]);
    if (!gain.matched) return gain;
    const perChannel = gain.value.kind === 'stored' ? gain.value.tensor : gain.value.magnitude;
    if (perChannel.dims.reduce((product, size) => product * size, 1) !== outFeatures) {
      return mismatch(`"${perChannel.name}" does not have a value for each of ${outFeatures} channels`, node);
    }
    const scaling = scalingOf(node);
    return matched({
      node,
      scope: this.scope,
      facts: this.facts,
      ...name,
      kind,
      base,
      loraA,
      loraB,
      gain: gain.value,
      scaling,
      bias:
        bias === ''
          ? undefined
          : {
              value: bias,
              inBase: intAttribute(node, 'base_has_bias') === 1,
              tensor: this.#constant(unwiden(this.facts, bias)),
            },
      rank,
      outFeatures,
      inFeatures,
    });
  }

  /** The layer or the adapter whose result DoraCompose takes, through a Reshape or times a number. */
  #base(value: string, node: NodeProto): MatchResult<{ readonly base: FusedBase; readonly scale: number }> {
    const source = plain(this.facts, value);
    const module = this.#modules.get(source);
    if (module !== undefined) {
      return chainOf(module).length < MOST_CHAINED
        ? matched({ base: { kind: 'adapted', module, value }, scale: 1 })
        : mismatch(`more than ${MOST_CHAINED} adapters are chained`, node);
    }
    const { value: result, scale } = unscaled(this.facts, source);
    const layer = this.#layers.get(result);
    if (layer === undefined)
      return mismatch(`its base "${value}" is not the result of a layer with a stored weight`, node);
    const { numbers: tensor, numbersTransposed, type, quantizedBy } = layer.weight;
    // An embedding is stored as [words, width]: W has a row for each channel of its vectors.
    const transposed = (layer.kind === 'embedding' ? 1 - numbersTransposed : numbersTransposed) as 0 | 1;
    const weight: FusedWeight = { tensor, transposed, id: this.#id(layer.weight.source), type, quantizedBy };
    return matched({ base: { kind: 'layer', weight, layer, value, bias: this.#biasOf(layer) }, scale });
  }

  #biasOf({ kind, product, bias }: BaseLayer): Pick<FusedBias, 'value' | 'tensor'> | undefined {
    // Convolutions without a bias are given zeros by some exporters, which compute them.
    const convolution = kind === 'conv' ? matchConvolution(this.facts, product) : undefined;
    const value = convolution?.matched === true ? convolution.value.bias : bias?.value;
    return value === undefined ? undefined : { value, tensor: this.#constant(unwiden(this.facts, value)) };
  }

  #adapter(value: string, scale: number, node: NodeProto): MatchResult<LowRankPath> {
    const lora = unscaled(this.facts, uncast(this.facts, value));
    if (lora.scale !== scale) return mismatch('base and adapter are scaled differently', node);
    const path = uncast(this.facts, lora.value);
    return firstMatch(
      [matchLowRank, matchConvolutionAdapter, matchEmbeddingAdapter].map((match) => () => match(this.facts, path)),
    );
  }

  #matrix(trace: MatrixTrace, node: NodeProto): MatchResult<FusedMatrix> {
    const tensor = this.#float(trace.source);
    if (tensor === undefined) return mismatch(`"${trace.source}" is not a constant of the model`, node);
    return matched({ tensor, transposed: trace.sourceTransposed ? 1 : 0, id: this.#id(trace.source) });
  }

  #gain(value: string, node: NodeProto, matrices: readonly FusedMatrix[]): MatchResult<FusedGain> {
    const source = plain(this.facts, value);
    const tensor = this.#float(source);
    if (tensor !== undefined) return matched({ kind: 'stored', tensor, id: this.#id(source) });
    const scale = this.facts.producer(source);
    if (scale?.domain !== DORA_DOMAIN || scale.opType !== 'DoraScale') {
      return mismatch(`g "${value}" is neither a constant nor computed by DoraScale`, node);
    }
    if (scalingOf(scale) !== scalingOf(node)) return mismatch('g is computed with another scaling', scale);
    for (const [index, flag] of ['transW', 'transA', 'transB'].entries()) {
      const read = this.#matrix(
        orientedTrace(
          traceMatrix(this.facts, withoutReshape(this.facts, scale.input[index] ?? '')),
          intAttribute(scale, flag) === 1,
        ),
        scale,
      );
      if (!read.matched) return read;
      const { id, transposed } = matrices[index]!;
      if (read.value.id !== id || read.value.transposed !== transposed) {
        return mismatch(`g is computed from "${scale.input[index]}", which the layer does not use`, scale);
      }
    }
    const vector = vectorSource(this.facts, scale.input[3] ?? '');
    const magnitude = this.#float(vector);
    return magnitude === undefined
      ? mismatch('m is not a constant of the model', scale)
      : matched({ kind: 'computed', magnitude, id: this.#id(vector) });
  }

  #float(value: string): FloatTensor | undefined {
    const tensor = this.#constant(value);
    const type = floatType(tensor?.dataType);
    return tensor === undefined || type === undefined ? undefined : { ...tensor, type };
  }

  #id(value: string): string {
    const defining = this.scope.definition(value)?.scope;
    return JSON.stringify([defining && this.numbers.get(defining), value]);
  }

  #constant(value: string): StoredTensor | undefined {
    const tensor = this.facts.constant(value);
    return tensor === undefined ? undefined : this.stored(tensor);
  }
}

const orientedTrace = (trace: MatrixTrace, transposed: boolean) => (transposed ? transposedTrace(trace) : trace);

/** What the layer below all adapters reads, and its node where that is one of its own. */
function innermostLayer(base: FusedBase): { readonly x: string; readonly node: NodeProto | undefined } {
  switch (base.kind) {
    case 'inside':
      throw new Error('the product inside a DoraLinear is below no other base');
    case 'layer':
      return base.layer;
    case 'adapted': {
      const { module } = base;
      return module.base.kind === 'inside'
        ? { x: module.node.input[0] ?? '', node: undefined }
        : innermostLayer(module.base);
    }
  }
}

/** Whether A's kernel goes where W's goes, and B's is a point: then B·A is a kernel like W. */
function movesAlike(facts: MatchScope, base: NodeProto, down: NodeProto, up: NodeProto): boolean {
  const [w, a, b] = [base, down, up].map((node) => geometryOf(facts, node));
  if (w === undefined || a === undefined || b === undefined) return false;
  const isPoint = ({ kernel }: Geometry) => kernel.every((size) => size === 1);
  const same = (key: 'kernel' | 'strides' | 'dilations') => w[key].join() === a[key].join();
  const stays = b.strides.every((stride) => stride === 1) && b.padding === b.kernel.flatMap(() => [0, 0]).join();
  return (
    [w, a, b].every(({ groups }) => groups === 1) &&
    !w.kernel.includes(undefined) &&
    same('kernel') &&
    same('strides') &&
    (same('dilations') || isPoint(w)) &&
    w.padding === a.padding &&
    isPoint(b) &&
    stays
  );
}

const kindOf = (base: FusedBase): FusedModule['kind'] =>
  base.kind === 'layer' ? base.layer.kind : base.kind === 'adapted' ? base.module.kind : 'linear';

/** Rows and columns of what is meant, kernels flattened. */
function sizes({ tensor, transposed }: FusedMatrix): readonly [rows: number, columns: number] {
  const [first = 0, ...rest] = tensor.dims;
  const second = rest.reduce((product, size) => product * size, 1);
  return transposed === 1 ? [second, first] : [first, second];
}

/** Nodes between a layer or an adapter's product and its composition at most. */
const MOST_STEPS = 4;

/** A value without the Reshapes, casts and multiplications by a number behind it, and the product of those numbers. */
function unscaled(facts: MatchScope, start: string): { readonly value: string; readonly scale: number } {
  let value = uncast(facts, start);
  let scale = 1;
  for (let step = 0; step < MOST_STEPS; step++) {
    const node = facts.producer(value);
    if (node === undefined) break;
    const [first = '', second = ''] = node.input;
    if (isStandard(node, 'Reshape')) {
      value = uncast(facts, first);
    } else if (isStandard(node, 'Mul')) {
      const factor = constantScalar(facts, second) ?? constantScalar(facts, first);
      if (factor === undefined) break;
      value = uncast(facts, constantScalar(facts, second) === undefined ? second : first);
      scale *= factor;
    } else {
      break;
    }
  }
  return { value, scale };
}

/** What a layer reads, without what gives it another float type or shape. */
function inputSource(facts: MatchScope, start: string): string {
  let value = start;
  for (let step = 0; step < MOST_STEPS; step++) {
    const node = facts.producer(value);
    const passes =
      node !== undefined &&
      (isStandard(node, 'Identity') ||
        isStandard(node, 'Reshape') ||
        (isStandard(node, 'Cast') && floatType(intAttribute(node, 'to')) !== undefined));
    if (!passes) break;
    value = node.input[0] ?? '';
  }
  return value;
}

/** A value in front of a Reshape, behind what does not change it. */
function withoutReshape(facts: MatchScope, value: string): string {
  const source = unwiden(facts, value);
  const node = facts.producer(source);
  return node !== undefined && isStandard(node, 'Reshape') ? (node.input[0] ?? '') : value;
}

/** A stored vector behind reshapes and casts that lose nothing. */
const vectorSource = (facts: MatchScope, value: string) => unwiden(facts, withoutReshape(facts, value));

/** The attribute that every operator has. */
const scalingOf = ({ attribute }: NodeProto) => attribute.find(({ name }) => name === 'scaling')?.f ?? 1;
