/** Replacing `ort.dora` operators by plain layers over merged weights. */

import {
  type AttributeValue,
  intAttribute,
  type ModelView,
  makeNode,
  type NodeProto,
  removeDeadNodes,
} from '@ort-dora/onnx';
import type { AdapterStore, ElementSource } from '../attach/adapter-store.js';
import { DORA_DOMAIN } from '../functions/function.js';
import { baseWeight, chainOf, type FusedBias, type FusedModule } from '../fused/fused-module.js';
import { type Mismatch, mismatch } from '../match/result.js';
import { isStandard, plain } from '../match/trace.js';
import { isZeroVector, sameVector } from '../proofs/vectors.js';
import { DATA_TYPE, floatType } from '../tensors/elements.js';
import { emptyTensor } from '../tensors/make.js';

/** What is wrong with merging a module, as a mismatch; nothing where it can be merged. */
export async function mergeRefusal(module: FusedModule): Promise<Mismatch | undefined> {
  const { scope, facts, node, base, bias, kind } = module;
  let root = scope;
  while (root.parent !== undefined) root = root.parent;
  if (root.kind === 'function') return mismatch('it is inside a function, which has no weights of its own', node);
  if (baseWeight(module).quantizedBy !== undefined) {
    return mismatch('its base is quantized, and a merged weight would have to be quantized again', node);
  }
  if (kind === 'conv' && bias?.inBase === false) return mismatch('it adds a bias of its own to a convolution', node);
  const biasType = bias && floatType(facts.elementType(bias.value));
  if (bias?.inBase === false && biasType !== undefined && biasType !== baseWeight(module).type) {
    return mismatch(`it adds a bias of another type, ${biasType}`, node);
  }
  if (!(await biasesAgree(module)))
    return mismatch('the bias that its base holds is not the one that it leaves alone', node);
  if (base.kind === 'inside') return undefined;
  // Nobody else may see what is going to be a merged result.
  for (const value of base.kind === 'layer' ? layerValues(module) : [base.value]) {
    const reader = readerBesides(module, value);
    if (reader !== undefined)
      return mismatch(`the result of its base, "${value}", is also ${reader}, and would change`, node);
  }
  return base.kind === 'adapted' ? mergeRefusal(base.module) : undefined;
}

/** Whether g is kept from the bias: what the base adds is what the operator is told, or nothing. */
async function biasesAgree({ base, bias }: FusedModule): Promise<boolean> {
  const inBase = heldBias(base);
  const told = bias?.inBase === true ? bias : undefined;
  if (inBase === undefined)
    return told === undefined || (told.tensor !== undefined && (await isZeroVector(told.tensor)));
  if (told?.value === inBase.value) return true;
  if (inBase.tensor === undefined) return false;
  if (told === undefined) return isZeroVector(inBase.tensor);
  return told.tensor !== undefined && (await sameVector(told.tensor, inBase.tensor));
}

/** The bias in a base's result. */
function heldBias(base: FusedModule['base']): Pick<FusedBias, 'value' | 'tensor'> | undefined {
  switch (base.kind) {
    case 'inside':
      return undefined;
    case 'layer':
      return base.bias;
    case 'adapted':
      return base.module.bias ?? heldBias(base.module.base);
  }
}

/** Who sees a value besides the module's own composition, and what leads to it. */
function readerBesides({ scope, facts, node }: FusedModule, value: string): string | undefined {
  if (scope.isOutput(value)) return 'a result of the graph';
  const others = facts.readers(value).filter((reader) => reader !== node && !leadsOnlyTo(facts, reader, node));
  return others.length === 0 ? undefined : `read by ${others[0]!.opType} "${others[0]!.name ?? ''}"`;
}

/** Whether a node's results go to `target` alone, through Identity and the like: a few nodes, as they are behind a layer. */
function leadsOnlyTo(facts: FusedModule['facts'], reader: NodeProto, target: NodeProto): boolean {
  const seen = new Set([target]);
  const pending = [reader];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    const { opType, output } = node;
    const passes = seen.size <= MOST_BETWEEN && isStandard(node) && BETWEEN.has(opType ?? '');
    if (!passes || output.some((value) => facts.isOutput(value) || facts.readers(value).length === 0)) return false;
    pending.push(...output.flatMap((value) => facts.readers(value)));
  }
  return true;
}

/** What stands between a layer's product and its composition. */
const BETWEEN: ReadonlySet<string> = new Set(['Identity', 'Cast', 'Reshape', 'Mul', 'Add']);
const MOST_BETWEEN = 16;

/** The values from what the composition takes back to the layer's product. */
function layerValues({ facts, base }: FusedModule): readonly string[] {
  if (base.kind !== 'layer') return [];
  const { product, bias } = base.layer;
  return [plain(facts, base.value), bias?.addition?.output[0], product].filter((value) => value !== undefined);
}

/** Writes merged layers into the graphs of a model. */
export class MergeEditor {
  /** Merged weights by the weight, the adapters and the layout that they come from: a layer that is called twice has one. */
  readonly #weights = new Map<string, string>();

  constructor(
    private readonly view: ModelView,
    private readonly store: AdapterStore,
  ) {}

  /** The name of the merged weight, which `open` computes if it is not there yet. */
  async weight<W extends ElementSource>(
    module: FusedModule,
    open: () => Promise<W>,
  ): Promise<{ readonly name: string; readonly weight: W | undefined }> {
    const weight = baseWeight(module);
    const key = JSON.stringify([weight, ...chainOf(module)].map(keyOf));
    const known = this.#weights.get(key);
    if (known !== undefined) return { name: known, weight: undefined };
    const merged = await open();
    const name = this.view.freshName(`${module.path}.weight`);
    const proto = emptyTensor(name, { dataType: DATA_TYPE[weight.type], dims: weight.tensor.dims });
    this.view.main.addInitializer(proto);
    this.store.add(proto, merged);
    this.#weights.set(key, name);
    return { name, weight: merged };
  }

  /** Puts the plain layer in place of the module, whose result keeps its name. */
  replace(module: FusedModule, weight: string): void {
    const { scope, node } = module;
    const chain = chainOf(module);
    const innermost = chain[0]!;
    const result =
      innermost.base.kind === 'layer' ? this.#reweighted(innermost, weight) : this.#product(innermost, weight);
    // Of a chain, g of every adapter is applied to what is without the bias, so one of them adds it, once.
    const bias = chain.map((each) => each.bias).find((each) => each?.inBase === false)?.value;
    const output = node.output[0] ?? '';
    scope.setOutput(node, 0, this.view.freshName(`${output}.unmerged`));
    const [opType, inputs] = bias === undefined ? ['Identity', [result]] : ['Add', [result, bias]];
    const last = this.#node(opType as string, inputs as string[], output, module);
    scope.insertBefore(node, last);
    removeDeadNodes(this.view, [node]);
    if (bias === undefined) this.#rename(module, result, last);
  }

  /** A layer of the graph that reads the merged weight instead; returns what the composition took of it. */
  #reweighted(module: FusedModule, weight: string): string {
    const { scope, base } = module;
    if (base.kind !== 'layer') throw new Error('only layers of the graph are given another weight');
    const { node } = base.layer;
    const index = weightInput(node);
    const old = node.input[index] ?? '';
    scope.setInput(node, index, this.#operand(module, node, weight));
    const definition = scope.definition(old);
    if (definition?.kind === 'node') removeDeadNodes(this.view, [definition.node]);
    else if (definition?.kind === 'initializer' && !definition.scope.isUsed(old) && !definition.scope.isInput(old)) {
      definition.scope.removeInitializers([old]);
      definition.scope.removeValueInfos([old]);
    }
    return base.value;
  }

  /** The product that DoraLinear held. */
  #product(module: FusedModule, weight: string): string {
    const { scope, node } = module;
    const output = this.view.freshName(`${node.output[0] ?? ''}.product`);
    const operand = this.#operand(module, node, weight);
    scope.insertBefore(node, this.#node('MatMul', [node.input[0] ?? '', operand], output, module));
    return output;
  }

  /** Gives a value that only an Identity reads the name of the Identity's result. */
  #rename({ scope }: FusedModule, value: string, identity: NodeProto): void {
    const producer = scope.producer(value);
    if (producer === undefined || scope.uses(value).length !== 1 || this.view.scopeOf(producer) !== scope) return;
    const output = identity.output[0] ?? '';
    scope.removeNode(identity);
    scope.removeValueInfos([value]);
    scope.setOutput(producer, producer.output.indexOf(value), output);
  }

  /** W' as the layer's node takes it. */
  #operand(module: FusedModule, node: NodeProto, weight: string): string {
    const { transposed } = baseWeight(module);
    // MatMul and Gemm take [in, out], unless a Gemm transposes; a lookup takes [words, width]; kernels are as stored.
    const wanted = node.opType === 'Conv' || (node.opType === 'Gemm' && intAttribute(node, 'transB') === 1) ? 0 : 1;
    if (wanted === transposed) return weight;
    const output = this.view.freshName(`${weight}.transposed`);
    module.scope.insertBefore(node, this.#node('Transpose', [weight], output, module, { perm: { ints: [1, 0] } }));
    return output;
  }

  #node(
    opType: string,
    inputs: readonly string[],
    output: string,
    { node }: FusedModule,
    attributes: Readonly<Record<string, AttributeValue>> = {},
  ): NodeProto {
    const name = this.view.freshName(`${node.name || output}/${opType}`);
    const made = makeNode(opType, inputs, [output], { name, attributes });
    return { ...made, metadataProps: [...node.metadataProps] };
  }

  /** Removes the functions of `ort.dora` and its import, where nothing uses them any more; whether none are left. */
  removeUnusedOperators(): boolean {
    const used = new Set(
      [...this.view.scopes()].flatMap(({ nodes }) =>
        nodes.filter(({ domain }) => domain === DORA_DOMAIN).map((node) => this.view.functionOf(node)),
      ),
    );
    const { model } = this.view;
    for (const proto of [...model.functions]) {
      if (proto.domain === DORA_DOMAIN && !used.has(proto)) this.view.removeFunction(proto);
    }
    if (used.size > 0) return false;
    model.opsetImport = model.opsetImport.filter(({ domain }) => domain !== DORA_DOMAIN);
    return true;
  }
}

const weightInput = ({ opType }: NodeProto) => (opType === 'Gather' ? 0 : 1);

function keyOf(part: ReturnType<typeof baseWeight> | FusedModule): unknown {
  if ('quantizedBy' in part) return [part.id, part.transposed, part.type];
  const { loraA, loraB, gain, scaling } = part;
  return [loraA.id, loraB.id, gain.id, scaling];
}
