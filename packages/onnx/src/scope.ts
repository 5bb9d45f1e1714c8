import { peek } from './deferred.js';
import { OnnxError } from './errors.js';
import { type Dimension, makeTensor } from './factories.js';
import {
  AttributeType,
  DataType,
  type FunctionProto,
  type GraphProto,
  type NodeProto,
  type SparseTensorProto,
  type TensorProto,
  type TypeProto,
  type ValueInfoProto,
} from './messages.js';
import type { ModelView } from './model-view.js';
import { Multimap } from './multimap.js';
import { Places } from './places.js';
import { TENSOR } from './schema.js';

/** What a name stands for. */
export type Definition =
  | { readonly kind: 'node'; readonly scope: Scope; readonly node: NodeProto; readonly index: number }
  | {
      readonly kind: 'initializer';
      readonly scope: Scope;
      readonly tensor: TensorProto;
      /** A graph input has the same name, so that a run may replace the value (IR version 4 and later). */
      readonly overridable: boolean;
    }
  | { readonly kind: 'sparseInitializer'; readonly scope: Scope; readonly tensor: SparseTensorProto }
  | { readonly kind: 'input'; readonly scope: Scope; readonly info: ValueInfoProto | undefined };

/** A place where a value is read. */
export type Use =
  | { readonly kind: 'node'; readonly scope: Scope; readonly node: NodeProto; readonly index: number }
  | { readonly kind: 'output'; readonly scope: Scope; readonly index: number };

/** A tensor type; `dims` undefined: unknown rank. */
export interface TensorType {
  /** {@link DataType}. */
  readonly elemType: number;
  readonly dims: readonly Dimension[] | undefined;
}

/**
 * One body of nodes and the names visible in it: the main graph, a subgraph (of If, Loop, Scan or any other node) or a
 * model-local function. Lookups go outwards as ONNX does: a subgraph sees the values of the scopes around it unless it
 * defines the name itself; a function sees nothing but its own.
 *
 * The index follows every edit made through this class; after edits made to the messages behind its back, make a new
 * {@link ModelView}. Edits cost what they touch, plus the move of later nodes in the node list.
 */
export class Scope {
  readonly #definitions = new Map<string, Definition>();
  readonly #readers = new Multimap<string, NodeProto>();
  readonly #outputs = new Map<string, number[]>();
  readonly #inputs = new Set<string>();
  readonly #infos = new Map<string, ValueInfoProto>();
  /** The entries of value_info by name: one each, if the file is in order. */
  readonly #declared = new Multimap<string, ValueInfoProto>();
  readonly #children = new Map<NodeProto, Scope[]>();
  /** Names that subgraphs read and that neither they nor scopes between define. */
  readonly #captures = new Multimap<string, Scope>();
  /** Names that this scope passes on to its parent's `#captures`. */
  readonly #free = new Set<string>();
  readonly #nodePlaces = new Places<NodeProto>(() => this.proto.node);
  readonly #infoPlaces = new Places<ValueInfoProto>(() => this.proto.valueInfo);
  readonly #initializerPlaces = new Places<TensorProto>(() => (isGraph(this.proto) ? this.proto.initializer : []));

  /** Use {@link ModelView}. */
  constructor(
    readonly view: ModelView,
    readonly kind: 'graph' | 'subgraph' | 'function',
    readonly proto: GraphProto | FunctionProto,
    /** The scope around a subgraph. */
    readonly parent?: Scope,
    /** The node that a subgraph is an attribute of. */
    readonly owner?: NodeProto,
  ) {
    this.#index();
  }

  // --- what is there ---

  /** Where it is, for people: `If_3.then_branch`, `my.domain::Block/Loop_1.body`; '' for the main graph. Not always unique: owners may be nameless. */
  get path(): string {
    if (this.kind === 'graph') return '';
    if (!isGraph(this.proto)) {
      const { domain = '', name = '', overload } = this.proto;
      return `${domain}::${name}${overload ? `:${overload}` : ''}`;
    }
    const { parent, owner, proto } = this;
    const attribute = owner?.attribute.find(({ g, graphs }) => g === proto || graphs.includes(proto));
    const step = `${owner?.name || owner?.opType || ''}.${attribute?.name ?? ''}`;
    return parent === undefined || parent.kind === 'graph' ? step : `${parent.path}/${step}`;
  }

  /** In file order. */
  get nodes(): readonly NodeProto[] {
    return this.proto.node;
  }

  get inputs(): readonly string[] {
    return isGraph(this.proto) ? this.proto.input.map((info) => info.name ?? '') : this.proto.input;
  }

  get outputs(): readonly string[] {
    return isGraph(this.proto) ? this.proto.output.map((info) => info.name ?? '') : this.proto.output;
  }

  get initializers(): readonly TensorProto[] {
    return isGraph(this.proto) ? this.proto.initializer : [];
  }

  /** The subgraphs of a node of this scope, in attribute order. */
  subgraphs(node: NodeProto): readonly Scope[] {
    return this.#children.get(node) ?? [];
  }

  /** This scope and those inside it, outermost first. */
  *withInner(): IterableIterator<Scope> {
    yield this;
    for (const children of this.#children.values()) for (const child of children) yield* child.withInner();
  }

  /** The version of a domain's operators that nodes here mean; undefined if none is imported. '' and 'ai.onnx' are one. */
  opset(domain = ''): number | undefined {
    const imports =
      this.#root.kind === 'function' ? (this.#root.proto as FunctionProto).opsetImport : this.view.model.opsetImport;
    let version: number | undefined;
    for (const entry of imports) {
      if (sameDomain(entry.domain, domain)) version = Math.max(version ?? 0, Number(entry.version ?? 0n));
    }
    return version;
  }

  // --- names ---

  /** What `name` stands for here, looked up through the scopes around. */
  definition(name: string): Definition | undefined {
    const scope = this.#definingScope(name);
    return scope === undefined ? undefined : scope.#definitions.get(name);
  }

  /** The node that computes `name`; undefined for inputs and initializers. */
  producer(name: string): NodeProto | undefined {
    const definition = this.definition(name);
    return definition?.kind === 'node' ? definition.node : undefined;
  }

  /** Every read of the value that `name` stands for here: by nodes, by nodes of subgraphs, as a graph output. */
  uses(name: string): Use[] {
    return [...this.eachUse(name)];
  }

  /** {@link Scope.uses} one after the other: for questions that few of many uses answer. */
  eachUse(name: string): IterableIterator<Use> {
    return (this.#definingScope(name) ?? this.#root).#ownUses(name);
  }

  /** The nodes among {@link Scope.uses}, each once. */
  readers(name: string): NodeProto[] {
    const nodes = new Set<NodeProto>();
    for (const use of this.uses(name)) if (use.kind === 'node') nodes.add(use.node);
    return [...nodes];
  }

  /** Whether anything reads the value that `name` stands for here. */
  isUsed(name: string): boolean {
    const scope = this.#definingScope(name) ?? this.#root;
    return scope.#readers.has(name) || scope.#outputs.has(name) || scope.#captures.has(name);
  }

  /** Whether `name` is an input of this very scope. */
  isInput(name: string): boolean {
    return this.#inputs.has(name);
  }

  /** Whether `name` is an output of this very scope. */
  isOutput(name: string): boolean {
    return this.#outputs.has(name);
  }

  /** Whether this very scope defines `name`. */
  defines(name: string): boolean {
    return this.#definitions.has(name);
  }

  /** The initializer that `name` stands for. */
  initializer(name: string): (Definition & { kind: 'initializer' }) | undefined {
    const definition = this.definition(name);
    return definition?.kind === 'initializer' ? definition : undefined;
  }

  /**
   * The constant that `name` stands for: an initializer that no run can replace, or the value of a Constant node (of
   * any of its forms but sparse). Undefined otherwise.
   */
  constant(name: string): TensorProto | undefined {
    const definition = this.definition(name);
    if (definition?.kind === 'initializer') return definition.overridable ? undefined : definition.tensor;
    return definition?.kind === 'node' ? constantValue(definition.node) : undefined;
  }

  /** The declared type of a value: of an input, an output or in value_info. */
  type(name: string): TypeProto | undefined {
    return this.#describing(name)?.type;
  }

  /** Element type and shape of a value as the file states them: declared, or of an initializer or a Constant node. */
  tensorType(name: string): TensorType | undefined {
    const definition = this.definition(name);
    const constant =
      definition?.kind === 'initializer'
        ? definition.tensor
        : definition?.kind === 'node'
          ? constantValue(definition.node)
          : undefined;
    if (constant !== undefined) return { elemType: constant.dataType ?? 0, dims: constant.dims.map(Number) };
    const info = this.#describing(name);
    const type = info && peek(info, 'type')?.tensorType;
    if (type?.elemType === undefined) return undefined;
    return {
      elemType: type.elemType,
      dims: type.shape?.dim.map(({ dimValue, dimParam }) =>
        dimValue === undefined ? dimParam || undefined : Number(dimValue),
      ),
    };
  }

  /** The value_info entry, input or output of this very scope that describes `name`. */
  valueInfo(name: string): ValueInfoProto | undefined {
    return this.#infos.get(name);
  }

  /** Place of a node in {@link Scope.nodes}; -1 if it is not of this scope. */
  position(node: NodeProto): number {
    return this.view.scopeOf(node) === this ? this.#nodePlaces.find(node) : -1;
  }

  // --- edits ---

  insertBefore(anchor: NodeProto, ...nodes: readonly NodeProto[]): void {
    this.#insert(this.#placeOf(anchor), nodes);
  }

  insertAfter(anchor: NodeProto, ...nodes: readonly NodeProto[]): void {
    this.#insert(this.#placeOf(anchor) + 1, nodes);
  }

  append(...nodes: readonly NodeProto[]): void {
    this.#insert(this.nodes.length, nodes);
  }

  /** Removes nodes of this scope, whether or not their outputs are still read: see {@link Scope.isUsed}. */
  removeNodes(nodes: Iterable<NodeProto>): void {
    const removed = new Set(nodes);
    for (const node of removed) this.#placeOf(node);
    for (const node of removed) this.detach(node);
    this.sweep(removed);
  }

  removeNode(node: NodeProto): void {
    this.removeNodes([node]);
  }

  /** Puts other nodes in the place of one; they may compute what it computed, under the same names. */
  replaceNode(node: NodeProto, ...replacements: readonly NodeProto[]): void {
    const place = this.#placeOf(node);
    this.removeNode(node);
    this.#insert(place, replacements);
  }

  /** Changes which values a node reads. */
  setInputs(node: NodeProto, inputs: readonly string[]): void {
    this.#placeOf(node);
    const before = node.input;
    node.input = [...inputs];
    for (const name of before) this.#dropReader(name, node);
    for (const name of inputs) this.#addReader(name, node);
  }

  /** Changes one input of a node; missing ones before it are left out. */
  setInput(node: NodeProto, index: number, name: string): void {
    const inputs = [...node.input];
    while (inputs.length < index) inputs.push('');
    inputs[index] = name;
    this.setInputs(node, inputs);
  }

  /** Changes the names of the values that a node computes; reads of the old names are left as they are. */
  setOutputs(node: NodeProto, outputs: readonly string[]): void {
    this.#placeOf(node);
    this.#checkFresh(outputs, node.output);
    for (const name of node.output) this.#undefine(name);
    node.output = [...outputs];
    this.#defineOutputs(node);
  }

  setOutput(node: NodeProto, index: number, name: string): void {
    const outputs = [...node.output];
    while (outputs.length < index) outputs.push('');
    outputs[index] = name;
    this.setOutputs(node, outputs);
  }

  /**
   * Makes all readers of `name` read `replacement`: nodes here and in subgraphs, and outputs of subgraphs and functions
   * (which have places, not names). Outputs of the main graph keep their names, so they are left, and so are outputs of
   * scopes that do not define `replacement` themselves.
   * @returns The uses that were left.
   */
  replaceUses(name: string, replacement: string): Use[] {
    const target = this.definition(replacement);
    const left: Use[] = [];
    const nodes = new Map<NodeProto, Scope>();
    for (const use of this.uses(name)) {
      if (use.scope.definition(replacement) !== target) {
        throw new OnnxError(
          'duplicate-name',
          `'${replacement}' means another value inside a subgraph that reads '${name}'`,
        );
      }
      if (use.kind === 'node') nodes.set(use.node, use.scope);
      else if (use.scope.kind === 'graph' || !use.scope.defines(replacement)) left.push(use);
      else use.scope.#renameOutput(use.index, replacement);
    }
    for (const [node, scope] of nodes) {
      scope.setInputs(
        node,
        node.input.map((input) => (input === name ? replacement : input)),
      );
    }
    return left;
  }

  /** @throws OnnxError `duplicate-name`; `invalid-value` in a function, which has no initializers. */
  addInitializer(tensor: TensorProto): void {
    const graph = this.#graph('an initializer');
    this.#checkFresh([tensor.name ?? '']);
    graph.initializer.push(tensor);
    this.#define(tensor.name ?? '', { kind: 'initializer', scope: this, tensor, overridable: false });
  }

  /** Removes initializers of this very scope by name; an input of the same name stays. */
  removeInitializers(names: Iterable<string>): void {
    const graph = this.#graph('an initializer');
    const tensors = new Set<TensorProto>();
    const sparse = new Set<SparseTensorProto>();
    for (const name of names) {
      const definition = this.#definitions.get(name);
      if (definition?.kind === 'initializer') tensors.add(definition.tensor);
      else if (definition?.kind === 'sparseInitializer') sparse.add(definition.tensor);
      else continue;
      this.#undefine(name);
      const info = this.#inputs.has(name) ? graph.input.find((each) => each.name === name) : undefined;
      if (info !== undefined) this.#define(name, { kind: 'input', scope: this, info });
    }
    this.#initializerPlaces.remove(tensors);
    if (sparse.size > 0) graph.sparseInitializer = graph.sparseInitializer.filter((each) => !sparse.has(each));
  }

  addInput(info: ValueInfoProto): void {
    const name = info.name ?? '';
    this.#checkFresh([name]);
    if (isGraph(this.proto)) this.proto.input.push(info);
    else this.proto.input.push(name);
    this.#inputs.add(name);
    this.#define(name, { kind: 'input', scope: this, info });
    this.#infos.set(name, info);
  }

  addOutput(info: ValueInfoProto): void {
    const name = info.name ?? '';
    const index = this.outputs.length;
    if (isGraph(this.proto)) this.proto.output.push(info);
    else this.proto.output.push(name);
    this.#outputs.set(name, [...(this.#outputs.get(name) ?? []), index]);
    if (!this.#infos.has(name)) this.#infos.set(name, info);
    this.#syncCapture(name);
  }

  /** Describes a value in value_info; replaces what was there. */
  setValueInfo(info: ValueInfoProto): void {
    const name = info.name ?? '';
    const [before] = this.#declared.get(name);
    if (before === undefined) this.proto.valueInfo.push(info);
    else {
      this.#infoPlaces.replace(before, info);
      this.#declared.delete(name, before);
    }
    this.#declared.add(name, info);
    this.#infos.set(name, info);
  }

  removeValueInfos(names: Iterable<string>): void {
    const removed = new Set<ValueInfoProto>();
    for (const name of names) {
      for (const info of this.#declared.get(name)) removed.add(info);
      this.#declared.deleteAll(name);
      if (!this.#outputs.has(name) && !this.#inputs.has(name)) this.#infos.delete(name);
    }
    this.#infoPlaces.remove(removed);
  }

  /** Imports a domain's operators at a version; an import that is there keeps its place. */
  importOpset(domain: string, version: number): void {
    const root = this.#root;
    const imports = root.kind === 'function' ? (root.proto as FunctionProto).opsetImport : this.view.model.opsetImport;
    const entry = imports.find((each) => sameDomain(each.domain, domain));
    if (entry === undefined) imports.push({ domain, version: BigInt(version) });
    else entry.version = BigInt(version);
  }

  /** Names that a node of this scope reads: its inputs, and what its subgraphs take from here or further out. */
  *reads(node: NodeProto): IterableIterator<string> {
    for (const name of node.input) if (name !== '') yield name;
    for (const child of this.subgraphs(node)) yield* child.#free;
  }

  /** @internal Takes a node out of the index but leaves it in the node list, until {@link Scope.sweep}. */
  detach(node: NodeProto): void {
    this.view.forget(node);
    for (const child of this.subgraphs(node)) {
      for (const inner of child.withInner()) for (const each of inner.nodes) this.view.forget(each);
      for (const name of child.#free) {
        this.#captures.delete(name, child);
        this.#syncCapture(name);
      }
    }
    this.#children.delete(node);
    for (const name of new Set(node.input)) {
      this.#readers.delete(name, node);
      this.#syncCapture(name);
    }
    for (const name of node.output) this.#undefine(name);
  }

  /** @internal Removes detached nodes from the node list. */
  sweep(removed: ReadonlySet<NodeProto>): void {
    this.#nodePlaces.remove(removed);
  }

  /** @internal Puts the node list in another order. */
  reorder(nodes: NodeProto[]): void {
    this.proto.node = nodes;
    this.#nodePlaces.forget();
  }

  // --- the index ---

  #index(): void {
    const { proto } = this;
    for (const info of proto.valueInfo) {
      this.#declared.add(info.name ?? '', info);
      this.#infos.set(info.name ?? '', info);
    }
    if (isGraph(proto)) {
      for (const info of proto.output) this.#infos.set(info.name ?? '', info);
      for (const info of proto.input) {
        const name = info.name ?? '';
        this.#inputs.add(name);
        this.#infos.set(name, info);
        this.#define(name, { kind: 'input', scope: this, info });
      }
      // Before IR version 4 every initializer had to be listed as an input, and none could be overridden.
      const overriding = (this.view.model.irVersion ?? 0n) >= 4n;
      for (const tensor of proto.initializer) {
        const name = tensor.name ?? '';
        this.#define(name, {
          kind: 'initializer',
          scope: this,
          tensor,
          overridable: overriding && this.#inputs.has(name),
        });
      }
      for (const tensor of proto.sparseInitializer) {
        this.#define(tensor.values?.name ?? '', { kind: 'sparseInitializer', scope: this, tensor });
      }
    } else {
      for (const name of proto.input) {
        this.#inputs.add(name);
        this.#define(name, { kind: 'input', scope: this, info: this.#infos.get(name) });
      }
    }
    this.outputs.forEach((name, index) => {
      const places = this.#outputs.get(name);
      if (places === undefined) this.#outputs.set(name, [index]);
      else places.push(index);
      this.view.reserve(name);
    });
    // All definitions before any reader: what a subgraph captures depends on them.
    for (const node of proto.node) this.#defineOutputs(node);
    for (const node of proto.node) this.#addNode(node);
    for (const name of this.#outputs.keys()) this.#syncCapture(name);
  }

  #addNode(node: NodeProto): void {
    this.view.adopt(node, this);
    for (const name of node.input) this.#addReader(name, node);
    const children: Scope[] = [];
    for (const attribute of node.attribute) {
      if (attribute.g !== undefined) children.push(new Scope(this.view, 'subgraph', attribute.g, this, node));
      for (const graph of attribute.graphs) children.push(new Scope(this.view, 'subgraph', graph, this, node));
    }
    if (children.length > 0) this.#children.set(node, children);
  }

  #defineOutputs(node: NodeProto): void {
    node.output.forEach((name, index) => {
      if (name !== '') this.#define(name, { kind: 'node', scope: this, node, index });
    });
  }

  #define(name: string, definition: Definition): void {
    this.#definitions.set(name, definition);
    this.view.reserve(name);
    this.#syncCapture(name);
  }

  #undefine(name: string): void {
    if (name !== '' && this.#definitions.delete(name)) this.#syncCapture(name);
  }

  #addReader(name: string, node: NodeProto): void {
    if (name === '') return;
    this.view.reserve(name);
    if (this.#readers.add(name, node)) this.#syncCapture(name);
  }

  #dropReader(name: string, node: NodeProto): void {
    if (node.input.includes(name)) return;
    this.#readers.delete(name, node);
    this.#syncCapture(name);
  }

  /** Tells the parent whether this scope takes `name` from outside. Call after any change that concerns the name. */
  #syncCapture(name: string): void {
    if (this.parent === undefined) return;
    const takes =
      !this.#definitions.has(name) && (this.#readers.has(name) || this.#outputs.has(name) || this.#captures.has(name));
    if (takes === this.#free.has(name)) return;
    if (takes) {
      this.#free.add(name);
      this.parent.#captures.add(name, this);
    } else {
      this.#free.delete(name);
      this.parent.#captures.delete(name, this);
    }
    this.parent.#syncCapture(name);
  }

  *#ownUses(name: string): IterableIterator<Use> {
    for (const node of this.#readers.get(name)) {
      for (const [index, input] of node.input.entries()) {
        if (input === name) yield { kind: 'node', scope: this, node, index };
      }
    }
    for (const index of this.#outputs.get(name) ?? []) yield { kind: 'output', scope: this, index };
    for (const child of this.#captures.get(name)) yield* child.#ownUses(name);
  }

  #describing(name: string): ValueInfoProto | undefined {
    return (this.#definingScope(name) ?? this).#infos.get(name);
  }

  #definingScope(name: string): Scope | undefined {
    let scope: Scope | undefined = this;
    while (scope !== undefined && !scope.#definitions.has(name)) scope = scope.parent;
    return scope;
  }

  get #root(): Scope {
    let scope: Scope = this;
    while (scope.parent !== undefined) scope = scope.parent;
    return scope;
  }

  #renameOutput(index: number, name: string): void {
    const before = this.outputs[index]!;
    if (isGraph(this.proto)) this.proto.output[index] = { ...this.proto.output[index]!, name };
    else this.proto.output[index] = name;
    const places = this.#outputs.get(before)!.filter((place) => place !== index);
    if (places.length === 0) this.#outputs.delete(before);
    else this.#outputs.set(before, places);
    this.#outputs.set(name, [...(this.#outputs.get(name) ?? []), index]);
    this.#syncCapture(before);
    this.#syncCapture(name);
  }

  #insert(place: number, nodes: readonly NodeProto[]): void {
    this.#checkFresh(nodes.flatMap((node) => node.output));
    this.#nodePlaces.insert(place, nodes);
    for (const node of nodes) this.#defineOutputs(node);
    for (const node of nodes) this.#addNode(node);
  }

  #placeOf(node: NodeProto): number {
    const place = this.position(node);
    if (place < 0) throw new OnnxError('invalid-node', `node '${node.name ?? node.opType}' is not in this scope`);
    return place;
  }

  #checkFresh(names: readonly string[], own: readonly string[] = []): void {
    const seen = new Set<string>();
    for (const name of names) {
      if (name === '') continue;
      if (seen.has(name) || (!own.includes(name) && this.definition(name) !== undefined)) {
        throw new OnnxError('duplicate-name', `a value '${name}' exists already`, {}, { todo: 'take a freshName' });
      }
      seen.add(name);
    }
  }

  #graph(what: string): GraphProto {
    if (isGraph(this.proto)) return this.proto;
    throw new OnnxError('invalid-value', `a function cannot hold ${what}`, {}, { todo: 'use a Constant node' });
  }
}

function isGraph(proto: GraphProto | FunctionProto): proto is GraphProto {
  return 'initializer' in proto;
}

function sameDomain(one: string | undefined, other: string | undefined): boolean {
  return canonicalDomain(one) === canonicalDomain(other);
}

/** 'ai.onnx' and no domain at all are other ways to write ''. */
export function canonicalDomain(domain: string | undefined): string {
  return domain === undefined || domain === 'ai.onnx' ? '' : domain;
}

/** The value of a Constant node, in whichever attribute it is; undefined for other nodes and for sparse values. */
export function constantValue(node: NodeProto): TensorProto | undefined {
  if (node.opType !== 'Constant' || canonicalDomain(node.domain) !== '') return undefined;
  const attribute = node.attribute.find(({ name, refAttrName }) => name?.startsWith('value') && !refAttrName);
  const name = node.output[0] ?? '';
  switch (attribute?.type) {
    case AttributeType.TENSOR:
      return attribute.t;
    case AttributeType.FLOAT:
      return makeTensor(name, DataType.FLOAT, [], Float32Array.of(attribute.f ?? 0));
    case AttributeType.FLOATS:
      return makeTensor(name, DataType.FLOAT, [attribute.floats.length], Float32Array.from(attribute.floats));
    case AttributeType.INT:
      return makeTensor(name, DataType.INT64, [], BigInt64Array.of(attribute.i ?? 0n));
    case AttributeType.INTS:
      return makeTensor(name, DataType.INT64, [attribute.ints.length], BigInt64Array.from(attribute.ints));
    case AttributeType.STRING:
      return stringTensor(name, [], [attribute.s ?? new Uint8Array(0)]);
    case AttributeType.STRINGS:
      return stringTensor(name, [attribute.strings.length], attribute.strings);
    default:
      return undefined;
  }
}

function stringTensor(name: string, dims: readonly number[], stringData: readonly Uint8Array[]): TensorProto {
  return { ...TENSOR.create(), name, dataType: DataType.STRING, dims: dims.map(BigInt), stringData: [...stringData] };
}
