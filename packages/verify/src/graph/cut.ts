/** Cuts modules out of a model, so that they run alone on inputs that are given to them. */

import { type GraphProto, type ModelProto, makeValueInfo, type NodeProto } from '@ort-dora/onnx';

/** One part of a graph: from the values where it begins to the value that it gives. */
export interface Part {
  /** Names of the values that the part reads from the rest of the graph. */
  readonly from: readonly string[];
  readonly to: string;
}

/** What is known of a value that a part begins with. */
export interface PartInput {
  /** TensorProto.DataType. */
  readonly elementType: number;
  readonly rank: number;
}

export interface CutModel {
  readonly model: ModelProto;
  /** The graph input through which a value of `from` is given now. */
  readonly inputFor: (value: string) => string | undefined;
  /** Inputs of the original graph that the parts still read (adapters that are graph inputs, say). */
  readonly keptInputs: readonly string[];
  /** The parts that are not in the graph, or that do not depend on all of their `from`. */
  readonly missing: ReadonlyMap<Part, string>;
}

/**
 * A model that computes nothing but these parts, all of them at once. Every value of `from` becomes an input; parts that
 * share one share its input, and a value that is one part's result and another's beginning is both.
 */
export function cut(model: ModelProto, parts: readonly Part[], beginnings: ReadonlyMap<string, PartInput>): CutModel {
  const graph = model.graph!;
  const taken = new Set([
    ...graph.node.flatMap(({ output }) => output),
    ...[...graph.input, ...graph.initializer].map(({ name = '' }) => name),
  ]);
  const inputFor = new Map<string, string>();
  for (const value of new Set(parts.flatMap(({ from }) => from))) {
    let name = `ort_dora.verify.${inputFor.size}`;
    while (taken.has(name)) name += '_';
    inputFor.set(value, name);
  }
  const nodes = graph.node.map((node) => renameInputs(node, inputFor));
  const producers = new Map<string, NodeProto>();
  for (const node of nodes) for (const output of node.output) if (output !== '') producers.set(output, node);

  const missing = new Map<Part, string>();
  const used = new Set<string>();
  const outputs = new Set<string>();
  for (const part of parts) {
    const reason = whyMissing(part, producers, inputFor);
    if (reason !== undefined) {
      missing.set(part, reason);
      continue;
    }
    outputs.add(part.to);
    for (const value of ancestors(part.to, producers)) used.add(value);
  }
  const stored = new Set(graph.initializer.map(({ name = '' }) => name));
  const keptInputs = graph.input.filter(({ name = '' }) => used.has(name));
  const boundaries = [...inputFor].filter(([, name]) => used.has(name));
  const known = new Map(graph.output.map((info) => [info.name, info]));
  const cutGraph: GraphProto = {
    ...graph,
    node: nodes.filter(({ output }) => output.some((name) => used.has(name))),
    initializer: graph.initializer.filter(({ name = '' }) => used.has(name)),
    input: [...keptInputs, ...boundaries.map(([value, name]) => partInput(name, beginnings.get(value)!))],
    output: [...outputs].map((name) => known.get(name) ?? makeValueInfo(name)),
    valueInfo: [],
  };
  return {
    model: { ...model, graph: cutGraph },
    inputFor: (value) => inputFor.get(value),
    // Those with a default value are as in the runs that gave the other values: not given.
    keptInputs: keptInputs.map(({ name = '' }) => name).filter((name) => !stored.has(name)),
    missing,
  };
}

const partInput = (name: string, { elementType, rank }: PartInput) =>
  makeValueInfo(name, elementType, Array.from({ length: rank }));

function whyMissing(part: Part, producers: ReadonlyMap<string, NodeProto>, inputFor: ReadonlyMap<string, string>) {
  if (!producers.has(part.to)) return `${part.to} is not computed in the main graph`;
  const reached = ancestors(part.to, producers);
  const apart = part.from.find((value) => !reached.has(inputFor.get(value)!));
  return apart === undefined ? undefined : `${part.to} does not depend on ${apart}`;
}

/** The value itself and every value that it is computed from. */
function ancestors(value: string, producers: ReadonlyMap<string, NodeProto>): Set<string> {
  const found = new Set([value]);
  for (const name of found) {
    const producer = producers.get(name);
    if (producer) for (const input of readBy(producer)) found.add(input);
  }
  return found;
}

/** What a node reads, its subgraphs included (with the names that are local to them, which do no harm). */
function* readBy(node: NodeProto): Generator<string> {
  for (const input of node.input) if (input !== '') yield input;
  for (const graph of subgraphs(node)) {
    for (const inner of graph.node) yield* readBy(inner);
    for (const { name = '' } of graph.output) yield name;
  }
}

/** The node itself where there is nothing to rename: what its message holds beyond the schema is kept then. */
function renameInputs(node: NodeProto, names: ReadonlyMap<string, string>): NodeProto {
  if (subgraphs(node).length === 0 && !node.input.some((name) => names.has(name))) return node;
  const attribute = node.attribute.map((attribute) => {
    if (attribute.g === undefined && attribute.graphs.length === 0) return attribute;
    const rename = (graph: GraphProto) => ({ ...graph, node: graph.node.map((inner) => renameInputs(inner, names)) });
    return { ...attribute, g: attribute.g && rename(attribute.g), graphs: attribute.graphs.map(rename) };
  });
  return { ...node, attribute, input: node.input.map((name) => names.get(name) ?? name) };
}

const subgraphs = (node: NodeProto): GraphProto[] =>
  node.attribute.flatMap(({ g, graphs }) => (g ? [g, ...graphs] : graphs));
