/** Changes that leave a graph what it is: other names, orders, copies, and nodes that do nothing. */
import { type ModelProto, makeNode, type NodeProto, type TensorProto } from '@ort-dora/onnx';
import { Edit } from '../support/edits.js';
import type { Value } from './values.js';

type Random = () => number;

/** One way to write the same graph differently. Returns whether there was anything to change. */
export interface BenignChange {
  readonly what: string;
  apply(model: ModelProto, values: readonly Value[], random: Random): boolean;
}

const change = (what: string, apply: BenignChange['apply']): BenignChange => ({ what, apply });

export const BENIGN: readonly BenignChange[] = [
  change('other names', (model) => {
    rename(model);
    return true;
  }),
  change('operands of Add and Mul swapped', (model, _, random) =>
    some(
      model.graph!.node.filter(({ opType }) => opType === 'Add' || opType === 'Mul'),
      random,
      ({ input }) => input.reverse(),
    ),
  ),
  change('Identity on edges', (model, _, random) => insertOnEdges(model, random, () => ['Identity', {}])),
  change('casts to the type that is there', (model, values, random) => {
    const types = new Map(values.map(({ name, type }) => [name, type]));
    return insertOnEdges(model, random, (value) => {
      const to = { float32: 1, float16: 10, int64: 7, bool: 9 }[types.get(value) as string];
      return to === undefined ? undefined : ['Cast', { to: { int: to } }];
    });
  }),
  change('nodes in another order', (model, _, random) => {
    model.graph!.node = shuffled(model.graph!.node, random);
    return true;
  }),
  change('a copy of each constant for each reader', (model, _, random) => {
    const { graph } = model;
    const stored = new Map(graph!.initializer.map((tensor) => [tensor.name!, tensor]));
    let copies = 0;
    for (const node of graph!.node) {
      node.input = node.input.map((name) => {
        const tensor = stored.get(name);
        if (tensor === undefined || overridable(model, name) || random() < 0.3) return name;
        const copy = `${name}.copy.${copies++}`;
        graph!.initializer.push({ ...tensor, name: copy });
        return copy;
      });
    }
    return copies > 0;
  }),
  change('initializers as Constant nodes', (model, _, random) => {
    const { graph } = model;
    const moved = graph!.initializer.filter(({ name = '' }) => !overridable(model, name) && random() < 0.7);
    graph!.initializer = graph!.initializer.filter((tensor) => !moved.includes(tensor));
    graph!.node.unshift(...moved.map((tensor) => constant(tensor)));
    return moved.length > 0;
  }),
  change('Constant nodes as initializers', (model) => {
    const { graph } = model;
    const constants = graph!.node.filter(
      ({ opType, attribute }) => opType === 'Constant' && attribute[0]?.name === 'value',
    );
    graph!.node = graph!.node.filter((node) => !constants.includes(node));
    graph!.initializer.push(...constants.map(({ output, attribute }) => ({ ...attribute[0]!.t!, name: output[0] })));
    return constants.length > 0;
  }),
  change('values in between as outputs', (model, values, random) =>
    some(
      values.filter(({ position, type }) => position >= 0 && type === 'float32'),
      (() => random() + 0.4) as Random,
      ({ name }) => {
        if (model.graph!.output.every((output) => output.name !== name)) new Edit(model).expose(name);
      },
    ),
  ),
  change('no declared types', (model) => {
    model.graph!.valueInfo = [];
    return true;
  }),
];

/** Does something to some of the items, at least one. */
function some<T>(items: readonly T[], random: Random, apply: (item: T) => void): boolean {
  const chosen = items.filter(() => random() < 0.5);
  const [first] = items;
  if (chosen.length === 0 && first !== undefined) chosen.push(first);
  for (const item of chosen) apply(item);
  return chosen.length > 0;
}

function insertOnEdges(
  model: ModelProto,
  random: Random,
  operator: (value: string) => readonly [opType: string, attributes: object] | undefined,
): boolean {
  const edges = model.graph!.node.flatMap((node) => node.input.map((value, index) => ({ node, value, index })));
  return some(
    edges.filter(({ value }) => value !== '' && operator(value) !== undefined),
    random,
    ({ node, value, index }) => {
      const [opType, attributes] = operator(value)!;
      new Edit(model).insert(node.output[0]!, index, opType, [], attributes);
    },
  );
}

/** Names that say nothing, and no metadata from which paths could be read. */
function rename(model: ModelProto): void {
  const graph = model.graph!;
  const keep = new Set([...graph.input, ...graph.output].map(({ name }) => name));
  const names = new Map<string, string>();
  const fresh = (name: string) => {
    if (name === '' || keep.has(name)) return name;
    if (!names.has(name)) names.set(name, `v${names.size}`);
    return names.get(name)!;
  };
  for (const node of graph.node) {
    Object.assign(node, { name: '', metadataProps: [], input: node.input.map(fresh), output: node.output.map(fresh) });
  }
  for (const tensor of graph.initializer) tensor.name = fresh(tensor.name!);
  graph.valueInfo = [];
}

/** Any order in which each node comes after what it reads. */
function shuffled(nodes: readonly NodeProto[], random: Random): NodeProto[] {
  const waiting = new Set(nodes);
  const missing = new Set(nodes.flatMap(({ output }) => output));
  const sorted: NodeProto[] = [];
  while (waiting.size > 0) {
    const ready = [...waiting].filter(({ input }) => input.every((name) => !missing.has(name)));
    const next = ready[Math.floor(random() * ready.length)]!;
    waiting.delete(next);
    for (const name of next.output) missing.delete(name);
    sorted.push(next);
  }
  return sorted;
}

function constant(tensor: TensorProto): NodeProto {
  return makeNode('Constant', [], [tensor.name!], {
    attributes: { value: { tensor: { ...tensor, name: undefined } } },
  });
}

function overridable(model: ModelProto, name: string): boolean {
  return model.graph!.input.some((input) => input.name === name);
}
