/** The nodes of one module, taken out of a graph to be drawn. */

import {
  elementTypeOf,
  inlineBytes,
  isElementType,
  type NodeProto,
  type Scope,
  type TensorProto,
} from '@ort-dora/onnx';
import { DORA_DOMAIN } from '../../functions/function.js';
import { inlineTensor } from '../../tensors/inline.js';
import { numbersOf } from '../../tensors/numbers.js';
import type { FusedModuleReport, FusedValues } from '../report.js';

/** What a node is for: the layer itself, B·A·x, g, the composition of these, an `ort.dora` operator, or a value from outside. */
export type ModulePart = 'layer' | 'adapter' | 'norm' | 'composition' | 'operator' | 'value';

export interface ExcerptNode {
  readonly part: ModulePart;
  /** The operator; of a value, what the module calls it: x, y. */
  readonly label: string;
  /** Where it is found in the file. */
  readonly name: string;
  /** Stored tensors that it reads: `W 48×96`, `2`. Of a value: what gives or takes it. */
  readonly notes: readonly string[];
  /** The nodes whose results it reads, by index; all stand before it. */
  readonly sources: readonly number[];
}

export interface GraphExcerpt {
  /** In an order in which they can be computed. */
  readonly nodes: readonly ExcerptNode[];
  /** The module has more nodes than are drawn. */
  readonly isPart: boolean;
}

/** Nodes of one excerpt at most: DoRA takes up to 40 in legacy exports. */
const MOST_NODES = 64;

/**
 * What a graph computes from a module's x to its y. Undefined where the graph does not compute y.
 *
 * @param scope the graph that the module is in, before or after the rewrite
 */
export function excerpt(
  scope: Scope,
  { values, form }: Pick<FusedModuleReport, 'values' | 'form'>,
): GraphExcerpt | undefined {
  const outside = new Map([[values.x, 'x']]);
  if (form.base === 'adapted' || form.base === 'recomputed') outside.set(values.base, 'y of the adapter before');
  const { nodes: inner, isPart } = collect(scope, values.y, new Set(outside.keys()));
  if (inner.length === 0) return undefined;

  const nodes: ExcerptNode[] = [];
  const indexOf = new Map<string, number>();
  const partOf = classify(scope, inner, values);
  const symbols = symbolsOf(values);
  const valueIndex = (name: string): number => {
    const known = indexOf.get(name);
    if (known !== undefined) return known;
    const giver = scope.producer(name);
    const note = giver ? `from ${giver.opType}` : 'graph input';
    nodes.push({ part: 'value', label: outside.get(name) ?? 'value', name, notes: [note], sources: [] });
    indexOf.set(name, nodes.length - 1);
    return nodes.length - 1;
  };
  const included = new Set(inner.flatMap(({ output }) => output));
  for (const node of inner) {
    const sources = new Set<number>();
    const notes: string[] = [];
    for (const name of node.input) {
      if (name === '') continue;
      const stored = storedTensor(scope, name);
      if (stored !== undefined) notes.push(describeStored(stored, symbols.get(name)));
      else if (symbols.has(name) && !included.has(name)) notes.push(`${symbols.get(name)} given`);
      else sources.add(valueIndex(name));
    }
    nodes.push({
      part: partOf(node),
      label: node.opType ?? '',
      name: node.name || (node.output[0] ?? ''),
      notes,
      sources: [...sources],
    });
    for (const name of node.output) indexOf.set(name, nodes.length - 1);
  }
  nodes.push({
    part: 'value',
    label: 'y',
    name: values.y,
    notes: [readersOf(scope, values.y)],
    sources: [indexOf.get(values.y)!],
  });
  return { nodes, isPart };
}

/** The nodes that `to` is computed by, back to the values in `from`, in the order of the graph. */
function collect(scope: Scope, to: string, from: ReadonlySet<string>): { nodes: NodeProto[]; isPart: boolean } {
  const found = new Set<NodeProto>();
  let isPart = false;
  const waiting = [to];
  for (const name of waiting) {
    if (from.has(name) && name !== to) continue;
    const definition = scope.definition(name);
    if (definition?.kind !== 'node' || definition.scope !== scope || definition.node.opType === 'Constant') continue;
    if (found.has(definition.node)) continue;
    if (found.size === MOST_NODES) {
      isPart = true;
      continue;
    }
    found.add(definition.node);
    waiting.push(...definition.node.input.filter((input) => input !== ''));
  }
  const nodes = [...found].sort((a, b) => scope.position(a) - scope.position(b));
  return { nodes, isPart };
}

/** What the layer or the adapter is computed by is theirs, the transposes of their weights included. */
function classify(
  scope: Scope,
  nodes: readonly NodeProto[],
  { x, base, lora }: FusedValues,
): (node: NodeProto) => ModulePart {
  const among = new Set(nodes);
  const before = (value: string | undefined) => {
    const found = new Set<NodeProto>();
    const waiting = value === undefined || value === x ? [] : [value];
    for (const name of waiting) {
      const node = scope.producer(name);
      if (node === undefined || !among.has(node) || found.has(node)) continue;
      found.add(node);
      if (name !== x) waiting.push(...node.input.filter((input) => input !== x));
    }
    return found;
  };
  const layer = before(base);
  const adapter = before(lora);
  // Nodes are in the order of the graph, so that what they read has been looked at.
  const activations = new Set([x, base]);
  for (const node of nodes) {
    const reads = node.opType !== 'Shape' && node.input.some((input) => activations.has(input));
    if (reads) for (const output of node.output) activations.add(output);
  }
  return (node) => {
    if (node.domain === DORA_DOMAIN) return 'operator';
    if (layer.has(node)) return 'layer';
    if (adapter.has(node)) return 'adapter';
    return node.output.some((output) => activations.has(output)) ? 'composition' : 'norm';
  };
}

function symbolsOf(values: FusedValues): ReadonlyMap<string, string> {
  const { weight, loraA, loraB, magnitude, bias, gain } = values;
  const named: [string | null, string][] = [
    [weight, 'W'],
    [loraA, 'A'],
    [loraB, 'B'],
    [magnitude, 'm'],
    [bias, 'b'],
    [gain, 'g'],
  ];
  return new Map(named.filter((entry): entry is [string, string] => entry[0] !== null && entry[0] !== ''));
}

function storedTensor(scope: Scope, name: string): TensorProto | undefined {
  return scope.initializer(name)?.tensor ?? scope.constant(name);
}

/** Constants of few elements are written out. */
const SHORT = 3;

function describeStored(tensor: TensorProto, symbol: string | undefined): string {
  const dims = tensor.dims.map(Number);
  const count = dims.reduce((product, dim) => product * dim, 1);
  const numbers = symbol === undefined && count <= SHORT ? readNumbers(tensor) : undefined;
  if (numbers !== undefined) {
    const text = numbers.map((value) => String(Number(value.toPrecision(4)))).join(', ');
    return dims.length === 0 || count === 1 ? text : `[${text}]`;
  }
  const type = isElementType(tensor.dataType) ? elementTypeOf(tensor.dataType).name : 'other';
  return `${symbol === undefined ? '' : `${symbol} `}${dims.join('×')} ${type}`;
}

function readNumbers(tensor: TensorProto): readonly number[] | undefined {
  return inlineTensor(tensor) && numbersOf(inlineBytes(tensor), tensor.dataType!);
}

function readersOf(scope: Scope, value: string): string {
  const readers = [...new Set(scope.readers(value).map(({ opType }) => opType))];
  const output = scope.isOutput(value) ? ['graph output'] : [];
  const all = [...readers, ...output];
  return `to ${all.slice(0, 3).join(', ')}${all.length > 3 ? ' …' : ''}`;
}
