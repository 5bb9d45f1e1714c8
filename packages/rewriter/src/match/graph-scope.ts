import {
  type FunctionProto,
  floatAttribute,
  type GraphProto,
  intAttribute,
  intsAttribute,
  type NodeProto,
  type StringStringEntryProto,
  type TensorProto,
  tensorAttribute,
  type ValueInfoProto,
} from '@ort-dora/onnx';
import { float32Tensor, int64Tensor } from '../tensors/make.js';
import { inferOutputs, type Shape, type ValueType } from './inference.js';
import type { MatchScope } from './scope.js';
import { isStandard } from './trace.js';

/** Nested shape arithmetic that is followed at most. */
const DEEPEST_SHAPE_ARITHMETIC = 16;

/**
 * The lookups of one graph or function body, and of the subgraphs inside it. It mirrors the messages as they are when
 * it is made; {@link GraphEditor} keeps both in step afterwards.
 */
export class GraphScope implements MatchScope {
  readonly children: readonly GraphScope[];
  readonly #producers = new Map<string, NodeProto>();
  readonly #readers = new Map<string, Set<NodeProto>>();
  readonly #initializers = new Map<string, TensorProto>();
  readonly #overridable = new Set<string>();
  readonly #inputs = new Set<string>();
  readonly #outputs = new Set<string>();
  readonly #constants = new Map<NodeProto, TensorProto>();
  readonly #types = new Map<string, ValueType>();

  constructor(
    readonly body: GraphBody,
    readonly path: string,
    readonly parent: GraphScope | undefined,
    private readonly numbers: SmallConstants,
  ) {
    for (const input of body.inputs) this.#inputs.add(input.name);
    for (const output of body.outputs) this.#outputs.add(output);
    for (const tensor of body.initializers) {
      const name = tensor.name ?? '';
      this.#initializers.set(name, tensor);
      if (this.#inputs.has(name)) this.#overridable.add(name);
    }
    for (const node of body.nodes)
      for (const output of node.output) if (output !== '') this.#producers.set(output, node);
    this.#declareTypes();
    this.#inferTypes();
    const children: GraphScope[] = [];
    for (const node of body.nodes) {
      for (const [attribute, graph] of subgraphs(node)) {
        const name = [path, `${node.name === undefined || node.name === '' ? node.opType : node.name}.${attribute}`];
        children.push(new GraphScope(graphBody(graph), name.filter((part) => part !== '').join('/'), this, numbers));
      }
    }
    this.children = children;
    for (const node of body.nodes) this.addReader(node);
  }

  get nodes(): readonly NodeProto[] {
    return this.body.nodes;
  }

  producer(value: string): NodeProto | undefined {
    if (this.defines(value)) return this.#producers.get(value);
    return this.parent?.producer(value);
  }

  readers(value: string): readonly NodeProto[] {
    return [...(this.#readers.get(value) ?? [])];
  }

  isOutput(value: string): boolean {
    return this.#outputs.has(value);
  }

  constant(value: string): TensorProto | undefined {
    if (!this.defines(value)) return this.parent?.constant(value);
    const initializer = this.#initializers.get(value);
    if (initializer !== undefined) return this.#overridable.has(value) ? undefined : initializer;
    const node = this.#producers.get(value);
    return node === undefined ? undefined : this.#constantNode(node);
  }

  /** The numbers of a constant of few elements. */
  smallConstant(value: string): readonly number[] | undefined {
    const tensor = this.constant(value);
    return tensor === undefined ? undefined : this.numbers(tensor);
  }

  elementType(value: string): number | undefined {
    return this.#type(value).elementType;
  }

  shape(value: string): Shape | undefined {
    return this.#type(value).shape;
  }

  integers(value: string): readonly number[] | undefined {
    return this.#integers(value, 0);
  }

  /** Whether the value belongs to this scope and not to one further out. */
  defines(value: string): boolean {
    return this.#producers.has(value) || this.#initializers.has(value) || this.#inputs.has(value);
  }

  /** The scope that defines a value, looking outwards. */
  owner(value: string): GraphScope | undefined {
    return this.defines(value) ? this : this.parent?.owner(value);
  }

  isInput(value: string): boolean {
    return this.#inputs.has(value);
  }

  initializer(value: string): TensorProto | undefined {
    return this.#initializers.get(value);
  }

  /** The value_info metadata of a value: where exporters say what they folded into it. */
  metadata(value: string): readonly StringStringEntryProto[] {
    if (!this.defines(value)) return this.parent?.metadata(value) ?? [];
    return this.body.declared.find(({ name }) => name === value)?.metadata ?? [];
  }

  /** Registers a node that was put into the body. */
  addNode(node: NodeProto, types: readonly ValueType[]): void {
    for (const [index, output] of node.output.entries()) {
      this.#producers.set(output, node);
      this.#types.set(output, types[index] ?? {});
    }
    this.addReader(node);
  }

  addInitializer(tensor: TensorProto): void {
    const name = tensor.name ?? '';
    this.#initializers.set(name, tensor);
    this.#types.set(name, tensorType(tensor));
  }

  removeInitializer(name: string): void {
    this.#initializers.delete(name);
  }

  /** Forgets a node that was taken out of the body. */
  removeNode(node: NodeProto): void {
    for (const output of node.output) if (this.#producers.get(output) === node) this.#producers.delete(output);
    for (const value of valuesRead(node)) {
      for (let scope: GraphScope | undefined = this; scope !== undefined; scope = scope.parent) {
        scope.#readers.get(value)?.delete(node);
      }
    }
  }

  /** A node reads its inputs and whatever its subgraphs read from outside; outer scopes see it as a reader too. */
  addReader(node: NodeProto): void {
    for (const value of valuesRead(node)) {
      for (let scope: GraphScope | undefined = this; scope !== undefined; scope = scope.parent) {
        const readers = scope.#readers.get(value);
        if (readers === undefined) scope.#readers.set(value, new Set([node]));
        else readers.add(node);
        if (scope.defines(value)) break;
      }
    }
  }

  #type(value: string): ValueType {
    if (this.defines(value)) return this.#types.get(value) ?? {};
    return this.parent === undefined ? {} : this.parent.#type(value);
  }

  #declareTypes(): void {
    for (const { name, type } of this.body.inputs) this.#types.set(name, type);
    for (const { name, type } of this.body.declared) this.#types.set(name, type);
    for (const tensor of this.body.initializers) this.#types.set(tensor.name ?? '', tensorType(tensor));
  }

  #inferTypes(): void {
    const known = {
      type: (value: string) => this.#type(value),
      integers: (value: string) => this.integers(value),
    };
    for (const node of this.body.nodes) {
      const constant = this.#constantNode(node);
      const inferred = constant === undefined ? inferOutputs(node, known) : [tensorType(constant)];
      for (const [index, output] of node.output.entries()) {
        const declared = this.#types.get(output);
        this.#types.set(output, {
          elementType: declared?.elementType ?? inferred[index]?.elementType,
          shape: declared?.shape ?? inferred[index]?.shape,
        });
      }
    }
  }

  /** The tensor of a Constant node, in whichever attribute it is. */
  #constantNode(node: NodeProto): TensorProto | undefined {
    if (!isStandard(node, 'Constant')) return undefined;
    let tensor = this.#constants.get(node);
    if (tensor === undefined) {
      tensor = constantTensor(node);
      if (tensor !== undefined) this.#constants.set(node, tensor);
    }
    return tensor;
  }

  #integers(value: string, depth: number): readonly number[] | undefined {
    const tensor = this.constant(value);
    if (tensor !== undefined) return integersOf(this.numbers(tensor));
    const node = this.producer(value);
    if (node === undefined || depth >= DEEPEST_SHAPE_ARITHMETIC || !isStandard(node)) return undefined;
    const input = (index: number) => this.#integers(node.input[index] ?? '', depth + 1);
    switch (node.opType) {
      case 'Identity':
      case 'Cast':
      case 'Unsqueeze':
      case 'Squeeze':
      case 'Reshape':
        return input(0);
      case 'Shape': {
        const shape = this.shape(node.input[0] ?? '');
        const hasBounds = node.attribute.some(({ name }) => name === 'start' || name === 'end');
        return hasBounds || shape === undefined || shape.includes(undefined) ? undefined : (shape as number[]);
      }
      case 'Gather': {
        const data = input(0);
        const picked = input(1)?.map((at) => data?.at(at));
        return picked === undefined || picked.includes(undefined) ? undefined : (picked as number[]);
      }
      case 'Concat': {
        const parts = node.input.map((_, index) => input(index));
        return parts.includes(undefined) ? undefined : (parts as number[][]).flat();
      }
      default:
        return undefined;
    }
  }
}

/** The numbers of a tensor of few elements, wherever they are stored; undefined for larger ones and other types. */
export type SmallConstants = (tensor: TensorProto) => readonly number[] | undefined;

/** What graphs and function bodies have in common. */
export interface GraphBody {
  /** The message's own array: edits go there. */
  readonly nodes: NodeProto[];
  readonly inputs: readonly DeclaredValue[];
  readonly outputs: readonly string[];
  readonly initializers: readonly TensorProto[];
  readonly declared: readonly DeclaredValue[];
  readonly proto:
    | { readonly kind: 'graph'; readonly graph: GraphProto }
    | { readonly kind: 'function'; readonly function: FunctionProto };
}

interface DeclaredValue {
  readonly name: string;
  readonly type: ValueType;
  readonly metadata: readonly StringStringEntryProto[];
}

export function graphBody(graph: GraphProto): GraphBody {
  return {
    nodes: graph.node,
    inputs: graph.input.map(declaredType),
    outputs: graph.output.map(({ name }) => name ?? ''),
    initializers: graph.initializer,
    declared: [...graph.valueInfo, ...graph.output].map(declaredType),
    proto: { kind: 'graph', graph },
  };
}

export function functionBody(proto: FunctionProto): GraphBody {
  return {
    nodes: proto.node,
    inputs: proto.input.map((name) => ({ name, type: {}, metadata: [] })),
    outputs: proto.output,
    initializers: [],
    declared: proto.valueInfo.map(declaredType),
    proto: { kind: 'function', function: proto },
  };
}

/** The subgraphs of a node with the names of their attributes. */
export function subgraphs(node: NodeProto): (readonly [attribute: string, graph: GraphProto])[] {
  return node.attribute.flatMap(({ name = '', g, graphs }) => [
    ...(g === undefined ? [] : [[name, g] as const]),
    ...graphs.map((graph, index) => [`${name}[${index}]`, graph] as const),
  ]);
}

/** What a node reads: its inputs, and of its subgraphs what they do not define themselves. */
function valuesRead(node: NodeProto): Set<string> {
  const values = new Set(node.input.filter((input) => input !== ''));
  for (const [, graph] of subgraphs(node)) for (const value of outerValues(graph)) values.add(value);
  return values;
}

function outerValues(graph: GraphProto): Set<string> {
  const values = new Set(graph.output.map(({ name }) => name ?? ''));
  for (const node of graph.node) for (const value of valuesRead(node)) values.add(value);
  for (const { name } of [...graph.input, ...graph.initializer]) values.delete(name ?? '');
  for (const node of graph.node) for (const output of node.output) values.delete(output);
  return values;
}

function declaredType({ name = '', type, metadataProps }: ValueInfoProto): DeclaredValue {
  const dims = type?.tensorType?.shape?.dim;
  const shape = dims?.map(({ dimValue }) => (dimValue === undefined ? undefined : Number(dimValue)));
  return { name, type: { elementType: type?.tensorType?.elemType, shape }, metadata: metadataProps };
}

function tensorType({ dataType, dims }: TensorProto): ValueType {
  return { elementType: dataType, shape: dims.map(Number) };
}

function constantTensor(node: NodeProto): TensorProto | undefined {
  const tensor = tensorAttribute(node, 'value');
  if (tensor !== undefined) return tensor;
  const float = floatAttribute(node, 'value_float');
  if (float !== undefined) return float32Tensor('', [], Float32Array.of(float));
  const int = intAttribute(node, 'value_int');
  if (int !== undefined) return int64Tensor('', [], [int]);
  const ints = intsAttribute(node, 'value_ints');
  return ints === undefined ? undefined : int64Tensor('', [ints.length], ints);
}

function integersOf(numbers: readonly number[] | undefined): readonly number[] | undefined {
  return numbers?.every(Number.isInteger) ? numbers : undefined;
}
