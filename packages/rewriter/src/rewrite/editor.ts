import {
  getMetadata,
  type ModelView,
  makeNode,
  type NodeProto,
  removeDeadNodes,
  type Scope,
  type TensorProto,
  type Use,
} from '@ort-dora/onnx';
import { type BodyOptions, bodyName, type FloatType, type OperatorForm } from '../functions/form.js';
import { FORM_METADATA, operatorFunction, operatorNode } from '../functions/function.js';
import { DATA_TYPE } from '../tensors/elements.js';
import { float32Tensor, int64Tensor } from '../tensors/make.js';
import { tensorBytes } from '../tensors/numbers.js';

/** What a fusion may do to the graph it works on. Nothing that anything else reads is ever removed. */
export interface GraphEditor {
  /** Whether all of `nodes` would be unread if `output` were computed by another node that reads `inputs`. */
  wouldDie(output: string, nodes: readonly NodeProto[], inputs: readonly string[]): boolean;
  /** Why an operator of that form cannot be written here; undefined where it can. */
  refusal(form: OperatorForm, scaling: number): string | undefined;
  /** Adds a constant in front of the producer of `before`; returns the name it got. */
  addConstant(before: string, tensor: TensorProto): string;
  /** Adds a cast in front of the producer of `before`; returns the name that its output got. */
  insertCast(before: string, value: string, type: FloatType): string;
  /** Adds a product with a number in front of the producer of `before`; returns the name that its output got. */
  insertScaled(before: string, value: string, factor: number, type: FloatType): string;
  /** Adds a Reshape in front of the producer of `before` (0 keeps a size); returns the name that its output got. */
  insertReshape(before: string, value: string, shape: readonly number[]): string;
  /** Adds an operator in front of the producer of `before`; returns the name that its output got. */
  insertOperator(before: string, form: OperatorForm, call: OperatorCall & { readonly output: string }): string;
  /** Computes `output` by an operator instead, and removes what is unread from then on; returns the overload used. */
  replaceByOperator(output: string, form: OperatorForm, call: OperatorCall): string;
  /** Likewise, by `base + (operator − term)`: what the operator changes of `term` is added to `base`. */
  replaceByChange(
    output: string,
    form: OperatorForm,
    call: OperatorCall,
    values: { readonly base: string; readonly term: string },
  ): string;
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

/** Edits one scope of a model. */
export class ScopeEditor implements GraphEditor {
  #nodesRemoved = 0;
  #nodesAdded = 0;
  #bytesSaved = 0;

  constructor(
    private readonly view: ModelView,
    private readonly scope: Scope,
    private readonly options: Pick<BodyOptions, 'opset' | 'target'>,
  ) {}

  /** What was changed since the last call. */
  takeSummary(): EditSummary {
    const summary = {
      nodesRemoved: this.#nodesRemoved,
      nodesAdded: this.#nodesAdded,
      bytesSaved: this.#bytesSaved,
    };
    this.#nodesRemoved = 0;
    this.#nodesAdded = 0;
    this.#bytesSaved = 0;
    return summary;
  }

  wouldDie(output: string, nodes: readonly NodeProto[], inputs: readonly string[]): boolean {
    const dying = this.#dying(this.#producer(output), inputs);
    return nodes.every((node) => dying.has(node));
  }

  refusal(form: OperatorForm, scaling: number): string | undefined {
    const options = this.#bodyOptions(scaling);
    const node = operatorNode(form, options, { inputs: [], outputs: [], scaling });
    const existing = this.view.functionOf(node);
    if (existing === undefined || getMetadata(existing, FORM_METADATA) === bodyName(form, options)) return undefined;
    return `inside functions one form of ${form.op} can be used, and the model has another one already`;
  }

  addConstant(before: string, tensor: TensorProto): string {
    const name = this.view.freshName(tensor.name ?? 'constant');
    if (this.scope.kind === 'function') {
      const value = { ...tensor, name: undefined };
      this.#insert(before, makeNode('Constant', [], [name], { name, attributes: { value: { tensor: value } } }));
    } else {
      this.scope.addInitializer({ ...tensor, name });
      this.#bytesSaved -= tensorBytes(tensor);
    }
    return name;
  }

  insertCast(before: string, value: string, type: FloatType): string {
    const output = this.view.freshName(`${value}.${type}`);
    this.#insert(
      before,
      makeNode('Cast', [value], [output], { name: output, attributes: { to: { int: DATA_TYPE[type] } } }),
    );
    return output;
  }

  insertScaled(before: string, value: string, factor: number, type: FloatType): string {
    const output = this.view.freshName(`${value}.scaled`);
    const number = this.addConstant(before, float32Tensor(`${value}.scale`, [], Float32Array.of(factor)));
    const scale = type === 'float32' ? number : this.insertCast(before, number, type);
    this.#insert(before, makeNode('Mul', [value, scale], [output], { name: output }));
    return output;
  }

  insertReshape(before: string, value: string, shape: readonly number[]): string {
    const output = this.view.freshName(`${value}.reshaped`);
    const target = this.addConstant(before, int64Tensor(`${value}.shape`, [shape.length], shape));
    this.#insert(before, makeNode('Reshape', [value, target], [output], { name: output }));
    return output;
  }

  insertOperator(before: string, form: OperatorForm, call: OperatorCall & { readonly output: string }): string {
    const output = this.view.freshName(call.output);
    this.#insert(before, this.#operator(form, call, output, this.#producer(before)));
    return output;
  }

  replaceByOperator(output: string, form: OperatorForm, call: OperatorCall): string {
    const old = this.#producer(output);
    const node = this.#operator(form, call, output, old);
    this.#replace(old, output, [node], call.inputs);
    return node.overload ?? '';
  }

  replaceByChange(
    output: string,
    form: OperatorForm,
    call: OperatorCall,
    { base, term }: { readonly base: string; readonly term: string },
  ): string {
    const old = this.#producer(output);
    const [adapted, change] = ['adapted', 'change'].map((name) => this.view.freshName(`${output}.${name}`)) as [
      string,
      string,
    ];
    const node = this.#operator(form, call, adapted, old);
    const difference = makeNode('Sub', [adapted, term], [change], { name: change });
    const sum = makeNode('Add', [base, change], [output], { name: this.view.freshName(`${output}.sum`) });
    this.#replace(old, output, [node, difference, sum], [...call.inputs, base, term]);
    return node.overload ?? '';
  }

  /** The value keeps its name, so that its readers, and whoever compares both graphs, find it. */
  #replace(old: NodeProto, output: string, nodes: readonly NodeProto[], inputs: readonly string[]): void {
    const read = this.#initializersOf(this.#dying(old, inputs));
    this.scope.setOutput(old, old.output.indexOf(output), this.view.freshName(`${output}.replaced`));
    this.scope.insertBefore(old, ...nodes);
    this.#nodesAdded += nodes.length;
    this.#nodesRemoved += removeDeadNodes(this.view, [old]).nodes;
    for (const [name, tensor] of read) {
      if (this.scope.initializer(name) === undefined) this.#bytesSaved += tensorBytes(tensor);
    }
  }

  /** The operator's node; it takes over the metadata of the node that it replaces (torch.onnx's module scopes). */
  #operator(form: OperatorForm, call: OperatorCall, output: string, replaced: NodeProto): NodeProto {
    const options = this.#bodyOptions(call.scaling);
    const node = operatorNode(form, options, {
      inputs: call.inputs,
      outputs: [output],
      scaling: call.scaling,
      name: this.view.freshName(call.name),
      metadataProps: replaced.metadataProps,
    });
    if (this.view.functionOf(node) === undefined) this.view.addFunction(operatorFunction(form, options));
    return node;
  }

  #bodyOptions(scaling: number): BodyOptions {
    let root = this.scope;
    while (root.parent !== undefined) root = root.parent;
    return { ...this.options, scaling, nested: root.kind === 'function' };
  }

  #insert(before: string, node: NodeProto): void {
    this.scope.insertBefore(this.#producer(before), node);
    this.#nodesAdded++;
  }

  /** A node and all that is unread once another one, which reads `kept`, is in its place. */
  #dying(root: NodeProto, kept: readonly string[]): ReadonlySet<NodeProto> {
    const dying = new Set<NodeProto>();
    const stays = new Set(kept);
    const isIdle = ({ scope, node }: Use & { kind: 'node' }) => node.output.every((value) => !scope.isUsed(value));
    const isUnread = (value: string) => {
      if (stays.has(value)) return false;
      for (const use of value === '' ? [] : this.scope.eachUse(value)) {
        if (use.kind !== 'node' || !(dying.has(use.node) || isIdle(use))) return false;
      }
      return true;
    };
    const pending = [root];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      dying.add(node);
      for (const input of this.scope.reads(node)) {
        const producer = this.scope.producer(input);
        if (producer !== undefined && !dying.has(producer) && producer.output.every(isUnread)) pending.push(producer);
      }
    }
    return dying;
  }

  /** The initializers that some nodes read, by name. */
  #initializersOf(nodes: Iterable<NodeProto>): ReadonlyMap<string, TensorProto> {
    const read = new Map<string, TensorProto>();
    for (const node of nodes) {
      for (const name of this.scope.reads(node)) {
        const tensor = this.scope.initializer(name)?.tensor;
        if (tensor !== undefined) read.set(name, tensor);
      }
    }
    return read;
  }

  #producer(value: string): NodeProto {
    const node = this.scope.producer(value);
    if (node === undefined) throw new Error(`"${value}" is not computed in this graph`);
    return node;
  }
}
