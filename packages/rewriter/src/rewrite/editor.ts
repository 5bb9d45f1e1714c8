import { type FunctionProto, makeNode, type NodeProto, type TensorProto } from '@ort-dora/onnx';
import { DATA_TYPE } from '../functions/body.js';
import type { BodyOptions, OperatorForm } from '../functions/form.js';
import { operatorFunction, operatorNode, operatorSignature } from '../functions/function.js';
import type { GraphScope } from '../match/graph-scope.js';
import { tensorBytes } from '../tensors/numbers.js';

/** What a fusion may do to the graph it works on. Nothing that anything else reads is ever removed. */
export interface GraphEditor {
  /** Whether all of `nodes` would be unread if `output` were computed by another node that does not read them. */
  wouldDie(output: string, nodes: readonly NodeProto[]): boolean;
  /** Adds a constant in front of the producer of `before`; returns the name it got. */
  addConstant(before: string, tensor: TensorProto): string;
  /** Adds an operator in front of the producer of `before`; returns the name that its output got. */
  insertOperator(before: string, form: OperatorForm, call: OperatorCall & { readonly output: string }): string;
  /** Computes `output` by an operator instead, and removes what is unread from then on; returns the overload used. */
  replaceByOperator(output: string, form: OperatorForm, call: OperatorCall): string;
}

export interface OperatorCall {
  readonly inputs: readonly string[];
  readonly scaling: number;
  /** Wanted node name. */
  readonly name: string;
}

/** What one replacement changed. */
export interface EditSummary {
  readonly nodesRemoved: number;
  readonly nodesAdded: number;
  /** Bytes of initializers removed, less those added. */
  readonly bytesSaved: number;
}

/** Names and functions of a whole model, shared by the editors of its scopes. */
export interface ModelEdits {
  /** `wanted`, or `wanted_1`, … where a value or node of the model has that name already. */
  freshName(wanted: string): string;
  readonly functions: Map<string, FunctionProto>;
}

/** Edits one scope's messages in place and keeps its lookups in step. */
export class ScopeEditor implements GraphEditor {
  #nodesRemoved = 0;
  #nodesAdded = 0;
  #bytesSaved = 0;

  constructor(
    private readonly scope: GraphScope,
    private readonly model: ModelEdits,
    private readonly options: Omit<BodyOptions, 'scaling'>,
  ) {}

  /** What was changed since the last call. */
  takeSummary(): EditSummary {
    const summary = {
      nodesRemoved: this.#nodesRemoved,
      nodesAdded: this.#nodesAdded,
      bytesSaved: this.#bytesSaved,
    };
    this.#nodesRemoved = this.#nodesAdded = this.#bytesSaved = 0;
    return summary;
  }

  wouldDie(output: string, nodes: readonly NodeProto[]): boolean {
    const dead = new Set<NodeProto>();
    const pending = [this.#producer(output)];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      dead.add(node);
      for (const input of node.input) {
        const producer = this.scope.defines(input) ? this.scope.producer(input) : undefined;
        if (producer === undefined || dead.has(producer)) continue;
        if (producer.output.every((value) => this.#unread(value, dead))) pending.push(producer);
      }
    }
    return nodes.every((node) => dead.has(node));
  }

  addConstant(before: string, tensor: TensorProto): string {
    const name = this.model.freshName(tensor.name ?? 'constant');
    const { proto } = this.scope.body;
    if (proto.kind === 'graph') {
      const named = { ...tensor, name };
      proto.graph.initializer.push(named);
      this.scope.addInitializer(named);
      this.#bytesSaved -= tensorBytes(named);
    } else {
      const value = { ...tensor, name: undefined };
      const node = makeNode('Constant', [], [name], { name, attributes: { value: { tensor: value } } });
      this.#insert(before, node);
      this.scope.addNode(node, [{ elementType: tensor.dataType, shape: tensor.dims.map(Number) }]);
    }
    return name;
  }

  insertOperator(before: string, form: OperatorForm, call: OperatorCall & { readonly output: string }): string {
    const output = this.model.freshName(call.output);
    const node = this.#operator(form, call, output, this.#producer(before));
    this.#insert(before, node);
    this.scope.addNode(node, [{ elementType: DATA_TYPE[operatorSignature(form).outputs[0]!.type] }]);
    return output;
  }

  replaceByOperator(output: string, form: OperatorForm, call: OperatorCall): string {
    const old = this.#producer(output);
    const node = this.#operator(form, call, output, old);
    this.#insert(output, node);
    const type = { elementType: this.scope.elementType(output), shape: this.scope.shape(output) };
    this.#remove(old);
    this.scope.addNode(node, [type]);
    this.#sweep(old);
    return node.overload ?? '';
  }

  /** The operator's node; it takes over the metadata of the node that it replaces (torch.onnx's module scopes). */
  #operator(form: OperatorForm, call: OperatorCall, output: string, replaced: NodeProto): NodeProto {
    const options: BodyOptions = { ...this.options, scaling: call.scaling };
    const body = operatorFunction(form, options);
    const key = `${body.domain}\n${body.name}\n${body.overload}`;
    if (!this.model.functions.has(key)) this.model.functions.set(key, body);
    return operatorNode(form, options, {
      inputs: call.inputs,
      outputs: [output],
      scaling: call.scaling,
      name: this.model.freshName(call.name),
      metadataProps: replaced.metadataProps,
    });
  }

  #insert(before: string, node: NodeProto): void {
    const { nodes } = this.scope.body;
    nodes.splice(nodes.indexOf(this.#producer(before)), 0, node);
    this.#nodesAdded++;
  }

  #remove(node: NodeProto): void {
    const { nodes } = this.scope.body;
    nodes.splice(nodes.indexOf(node), 1);
    this.scope.removeNode(node);
    this.#nodesRemoved++;
  }

  /** Removes what only `removed` has read, and what only that has read, and so on. */
  #sweep(removed: NodeProto): void {
    const pending = [...removed.input];
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      const owner = this.scope.owner(value);
      if (owner === undefined || owner.isOutput(value) || owner.readers(value).length > 0) continue;
      if (owner.initializer(value) !== undefined) {
        this.#removeInitializer(owner, value);
      } else if (owner === this.scope) {
        const producer = owner.producer(value);
        if (producer === undefined || !producer.output.every((output) => this.#unread(output, new Set()))) continue;
        this.#remove(producer);
        for (const output of producer.output) removeValueInfo(owner, output);
        pending.push(...producer.input);
      }
    }
  }

  #removeInitializer(owner: GraphScope, name: string): void {
    const { proto } = owner.body;
    if (proto.kind !== 'graph' || owner.isInput(name)) return;
    const { graph } = proto;
    const index = graph.initializer.findIndex((tensor) => tensor.name === name);
    const [tensor] = graph.initializer.splice(index, 1);
    owner.removeInitializer(name);
    removeValueInfo(owner, name);
    if (tensor !== undefined) this.#bytesSaved += tensorBytes(tensor);
  }

  #unread(value: string, dead: ReadonlySet<NodeProto>): boolean {
    if (value === '') return true;
    return !this.scope.isOutput(value) && this.scope.readers(value).every((reader) => dead.has(reader));
  }

  #producer(value: string): NodeProto {
    const node = this.scope.producer(value);
    if (node === undefined || !this.scope.defines(value)) throw new Error(`"${value}" is not computed in this graph`);
    return node;
  }
}

function removeValueInfo(scope: GraphScope, name: string): void {
  const { proto } = scope.body;
  const list = proto.kind === 'graph' ? proto.graph.valueInfo : proto.function.valueInfo;
  const index = list.findIndex((info) => info.name === name);
  if (index >= 0) list.splice(index, 1);
}
