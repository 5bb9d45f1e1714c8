/** A copy of a model that also gives values from inside its graph. */

import { type ModelProto, makeValueInfo } from '@ort-dora/onnx';

/** Why a value of a graph cannot be given as an output. */
export type Hidden = 'inside a subgraph or function' | 'not in the graph';

export interface Exposed {
  readonly model: ModelProto;
  /** The values that cannot be exposed, and why. */
  readonly hidden: ReadonlyMap<string, Hidden>;
}

/**
 * The model with `names` as further outputs, all in one, so that one session gives them all. Values inside an If, Loop or
 * Scan body, or inside a function, exist per branch, step or call: they cannot be outputs of the whole graph.
 */
export function expose(model: ModelProto, names: Iterable<string>): Exposed {
  const graph = model.graph!;
  const outputs = new Set(graph.output.map(({ name }) => name));
  const computed = new Set(graph.node.flatMap(({ output }) => output));
  const given = new Set([...graph.input, ...graph.initializer].map(({ name }) => name));
  const hidden = new Map<string, Hidden>();
  const added = new Set<string>();
  for (const name of names) {
    if (outputs.has(name) || given.has(name)) continue;
    if (computed.has(name)) added.add(name);
    else hidden.set(name, isInside(model, name) ? 'inside a subgraph or function' : 'not in the graph');
  }
  // An output without a type gets the one that ORT infers.
  const output = [...graph.output, ...[...added].map((name) => makeValueInfo(name))];
  return { model: { ...model, graph: { ...graph, output } }, hidden };
}

function isInside(model: ModelProto, name: string): boolean {
  const nodes = [...model.graph!.node, ...model.functions.flatMap(({ node }) => node)];
  const inFunction = model.functions.some(({ node }) => node.some(({ output }) => output.includes(name)));
  if (inFunction) return true;
  for (let node = nodes.pop(); node; node = nodes.pop()) {
    for (const { g, graphs } of node.attribute) {
      for (const inner of g ? [g, ...graphs] : graphs) {
        if (inner.node.some(({ output }) => output.includes(name))) return true;
        nodes.push(...inner.node);
      }
    }
  }
  return false;
}
