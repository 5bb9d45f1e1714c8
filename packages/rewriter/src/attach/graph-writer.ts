import {
  type AttributeValue,
  type ModelView,
  makeNode,
  type NodeProto,
  removeDeadNodes,
  type Scope,
  type TensorProto,
} from '@ort-dora/onnx';
import type { BodyOptions, OperatorForm } from '../functions/form.js';
import type { OperatorAttributes } from '../functions/function.js';
import { operatorFunction, operatorNode } from '../functions/function.js';

/** An operator's node as a caller describes it. */
export type OperatorCall<F extends OperatorForm> = OperatorAttributes<F> & {
  readonly inputs: readonly string[];
  /** Wanted node name. */
  readonly name: string;
};

/** Adds to the graphs of a model what adapters are made of. Values keep their names for those who read them. */
export class GraphWriter {
  #nodesAdded = 0;
  #nodesRemoved = 0;

  constructor(
    readonly view: ModelView,
    private readonly options: Pick<BodyOptions, 'opset' | 'target'>,
  ) {}

  /** Nodes added and removed since the last call. */
  takeCounts(): { readonly nodesAdded: number; readonly nodesRemoved: number } {
    const counts = { nodesAdded: this.#nodesAdded, nodesRemoved: this.#nodesRemoved };
    this.#nodesAdded = 0;
    this.#nodesRemoved = 0;
    return counts;
  }

  /** Adds an initializer to the main graph, where all subgraphs see it; returns the name it got. */
  initializer(tensor: TensorProto): string {
    const name = this.view.freshName(tensor.name ?? 'tensor');
    tensor.name = name;
    this.view.main.addInitializer(tensor);
    return name;
  }

  /** Adds a standard node in front of another one; returns the name that its output got. */
  compute(
    { scope, node: before }: Place,
    opType: string,
    inputs: readonly string[],
    wanted: string,
    attributes: Readonly<Record<string, AttributeValue>> = {},
  ): string {
    const output = this.view.freshName(wanted);
    scope.insertBefore(before, makeNode(opType, inputs, [output], { name: output, attributes }));
    this.#nodesAdded++;
    return output;
  }

  /** Computes the result of a node by an operator that does not read it; what is unread from then on is removed. */
  replace<F extends OperatorForm>({ scope, node }: Place, form: F, call: OperatorCall<F>): NodeProto {
    const output = node.output[0] ?? '';
    const written = this.#operator(form, call, output, node);
    scope.setOutput(node, 0, this.view.freshName(`${output}.replaced`));
    scope.insertBefore(node, written);
    this.#nodesAdded++;
    this.#nodesRemoved += removeDeadNodes(this.view, [node]).nodes;
    return written;
  }

  /** Puts an operator behind a node, under the name of its result, which gets a new one and is the operator's input. */
  append<F extends OperatorForm>(
    { scope, node }: Place,
    form: F,
    call: (result: string) => OperatorCall<F>,
  ): NodeProto {
    const output = node.output[0] ?? '';
    const written = this.#operator(form, call(this.rename({ scope, node })), output, node);
    scope.insertAfter(node, written);
    this.#nodesAdded++;
    return written;
  }

  /** Gives the result of a node a new name; whoever reads the old one must get it from another node. */
  rename({ scope, node }: Place): string {
    const name = this.view.freshName(`${node.output[0] ?? ''}.base`);
    scope.setOutput(node, 0, name);
    return name;
  }

  #operator<F extends OperatorForm>(form: F, call: OperatorCall<F>, output: string, replaced: NodeProto): NodeProto {
    const options = { ...this.options, ...('scaling' in call ? { scaling: call.scaling } : {}) };
    const node = operatorNode(form, options, {
      ...call,
      outputs: [output],
      name: this.view.freshName(call.name),
      metadataProps: replaced.metadataProps,
    });
    if (this.view.functionOf(node) === undefined) this.view.addFunction(operatorFunction(form, options));
    return node;
  }
}

/** A node and the graph that it is in. */
export interface Place {
  readonly scope: Scope;
  readonly node: NodeProto;
}
