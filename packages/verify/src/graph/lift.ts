/**
 * Takes a subgraph or a function out of what calls it, and makes it a main graph: modules inside can then be cut out and run
 * like others. The result is no model of its own: bodies of loops have inputs that nothing gives. What is cut out must not need those.
 */

import {
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  ModelView,
  makeOpsets,
  type NodeProto,
  type Scope,
  type TensorProto,
} from '@ort-dora/onnx';

export interface Lifted {
  readonly model: ModelProto;
  /** What a value of the scope is called in the lifted graph. */
  readonly nameOf: (value: string) => string;
  readonly scope: Scope;
}

/** Call sites that are looked at: functions of layers are called once a layer, with weights of their own. */
const MOST_CALLS = 4;

/**
 * The scope of that path in which `value` is computed, once for each of its first few calls if it is in a function.
 *
 * @returns why there is none, where there is none
 */
export function lift(model: ModelProto, path: string, value: string): readonly Lifted[] | string {
  const view = new ModelView(model);
  const scope = [...view.scopes()].find((each) => each.path === path && each.defines(value));
  if (scope === undefined) return `${value} is not computed in ${path}`;
  const flattened = flatten(view, scope, 0);
  if (flattened.length === 0) return `nothing calls ${path}`;
  return flattened.map(({ nodes, initializers, names, opset }) => {
    const graph: GraphProto = { ...model.graph!, ...withStoredConstants(nodes, initializers), valueInfo: [] };
    const others = model.opsetImport.filter(({ domain = '' }) => domain !== '' && domain !== 'ai.onnx');
    return {
      model: { ...model, graph, opsetImport: [...makeOpsets({ '': opset }), ...others] },
      nameOf: (name) => names(name),
      scope,
    };
  });
}

/** A scope and those around it as one list of nodes. */
interface Flat {
  readonly nodes: readonly NodeProto[];
  readonly initializers: readonly TensorProto[];
  /** What a value that the scope sees is called here. */
  readonly names: (value: string) => string;
  readonly opset: number;
}

function flatten(view: ModelView, scope: Scope, depth: number): Flat[] {
  const opset = scope.opset() ?? 0;
  if (scope.kind === 'graph') return [{ nodes: scope.nodes, initializers: scope.initializers, names: same, opset }];
  if (scope.kind === 'subgraph') {
    const { parent, owner } = scope as Scope & { readonly parent: Scope };
    return flatten(view, parent, depth + 1).map((outer) => {
      const names = (name: string) => (name !== '' && scope.defines(name) ? ownName(depth, name) : outer.names(name));
      const around = outer.nodes.filter((node) => !sameNode(node, owner, outer.names));
      return {
        nodes: [...around, ...scope.nodes.map((node) => renamed(node, names))],
        initializers: [...outer.initializers, ...scope.initializers.map((tensor) => named(tensor, names))],
        names,
        opset,
      };
    });
  }
  return callsOf(view, scope).flatMap(({ caller, node: call }) =>
    flatten(view, caller, depth + 1).map((outer) => {
      const given = new Map(scope.inputs.map((name, index) => [name, outer.names(call.input[index] ?? '')]));
      const names = (name: string) => given.get(name) ?? (name === '' ? '' : ownName(depth, name));
      const around = outer.nodes.filter((node) => !sameNode(node, call, outer.names));
      const body = scope.nodes.map((node) => renamed(withAttributes(node, call, scope), names));
      return { nodes: [...around, ...body], initializers: outer.initializers, names, opset };
    }),
  );
}

const same = (name: string) => name;

/** Names of inner scopes may be those of outer ones. */
const ownName = (depth: number, name: string) => `ort_dora.inside.${depth}.${name}`;

/** A message in which values have the names of their file again. */
export const asInFile = (message: string) => message.replaceAll(/ort_dora\.inside\.\d+\./g, '');

/** Nodes are told by what they compute: an outer scope may have been renamed. */
const sameNode = (node: NodeProto, other: NodeProto | undefined, names: (value: string) => string) =>
  other !== undefined && node.output[0] === names(other.output[0] ?? '');

function callsOf(view: ModelView, called: Scope): { caller: Scope; node: NodeProto }[] {
  const calls: { caller: Scope; node: NodeProto }[] = [];
  for (const caller of view.scopes()) {
    for (const node of caller.nodes) {
      const proto = view.functionOf(node);
      if (proto === undefined || view.functionScope(proto) !== called) continue;
      calls.push({ caller, node });
      if (calls.length === MOST_CALLS) return calls;
    }
  }
  return calls;
}

const named = (tensor: TensorProto, names: (value: string) => string): TensorProto => ({
  ...tensor,
  name: names(tensor.name ?? ''),
});

function renamed(node: NodeProto, names: (value: string) => string): NodeProto {
  const inner = (graph: GraphProto): GraphProto => {
    const own = new Set([
      ...graph.node.flatMap(({ output }) => output),
      ...[...graph.input, ...graph.initializer].map(({ name = '' }) => name),
    ]);
    const seen = (name: string) => (own.has(name) ? name : names(name));
    return {
      ...graph,
      node: graph.node.map((each) => renamed(each, seen)),
      output: graph.output.map((info) => ({ ...info, name: seen(info.name ?? '') })),
    };
  };
  return {
    ...node,
    input: node.input.map(names),
    output: node.output.map(names),
    attribute: node.attribute.map((attribute) => ({
      ...attribute,
      g: attribute.g && inner(attribute.g),
      graphs: attribute.graphs.map(inner),
    })),
  };
}

/** The attributes that a function's node takes from the call, or else from the function's defaults. */
function withAttributes(node: NodeProto, call: NodeProto, { proto }: Scope): NodeProto {
  if (!node.attribute.some(({ refAttrName }) => refAttrName)) return node;
  const defaults = 'attributeProto' in proto ? proto.attributeProto : [];
  const attribute = node.attribute.flatMap((each): AttributeProto[] => {
    if (!each.refAttrName) return [each];
    const given = [...call.attribute, ...defaults].find(({ name }) => name === each.refAttrName);
    return given ? [{ ...given, name: each.name }] : [];
  });
  return { ...node, attribute };
}

/** Functions hold their weights in Constant nodes; here they are stored like others. */
function withStoredConstants(
  nodes: readonly NodeProto[],
  initializers: readonly TensorProto[],
): Pick<GraphProto, 'node' | 'initializer'> {
  const node: NodeProto[] = [];
  const initializer = [...initializers];
  for (const each of nodes) {
    const value =
      each.opType === 'Constant'
        ? each.attribute.find(({ name, t }) => name === 'value' && t !== undefined)?.t
        : undefined;
    if (value === undefined) node.push(each);
    else initializer.push({ ...value, name: each.output[0] });
  }
  return { node, initializer };
}
