/** Finds the tables that a model's integer inputs index, so that generated indices exist. */

import type { GraphProto, ModelProto, NodeProto } from '@ort-dora/onnx';

/** Operators that pass indices on unchanged, or changed in shape only. */
const passing = new Set([
  'Cast',
  'Identity',
  'Reshape',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Slice',
  'Transpose',
  'Expand',
]);

/** Operators that look rows up: which input is the table, which the indices. */
const lookups: Readonly<Record<string, { readonly table: number; readonly indices: number }>> = {
  Gather: { table: 0, indices: 1 },
  GatherBlockQuantized: { table: 0, indices: 1 },
  EmbedLayerNormalization: { table: 2, indices: 0 },
};

/** For each graph input that is used as row indices: the rows of the smallest table that it indexes. */
export function tableRows(model: ModelProto): Map<string, number> {
  const graph = model.graph;
  const rows = new Map<string, number>();
  if (graph === undefined) return rows;
  /** Value → the graph input whose indices it holds. */
  const indexValues = new Map(graph.input.map(({ name = '' }) => [name, name]));
  const tables = new Map<string, number>();
  visit(graph, indexValues, tables, rows);
  return rows;
}

function visit(
  graph: GraphProto,
  indexValues: Map<string, string>,
  tables: Map<string, number>,
  rows: Map<string, number>,
): void {
  for (const { name = '', dims } of graph.initializer) if (dims.length > 0) tables.set(name, Number(dims[0]));
  for (const { name = '', type } of graph.valueInfo) {
    const size = type?.tensorType?.shape?.dim[0]?.dimValue;
    if (size !== undefined && size > 0n && !tables.has(name)) tables.set(name, Number(size));
  }
  for (const node of graph.node) {
    const type = node.opType ?? '';
    const source = indexValues.get(node.input[0] ?? '');
    const output = node.output[0];
    if (passing.has(type) && output !== undefined) {
      if (source !== undefined) indexValues.set(output, source);
      const size = tables.get(node.input[0] ?? '');
      if ((type === 'Identity' || type === 'Cast') && size !== undefined) tables.set(output, size);
    }
    const lookup = Object.hasOwn(lookups, type) ? lookups[type] : undefined;
    if (lookup && axisOf(node) === 0n) {
      const input = indexValues.get(node.input[lookup.indices] ?? '');
      const size = tables.get(node.input[lookup.table] ?? '');
      if (input !== undefined && size !== undefined) {
        rows.set(input, Math.min(size, rows.get(input) ?? Number.POSITIVE_INFINITY));
      }
    }
    for (const { g, graphs } of node.attribute) {
      for (const inner of g ? [g, ...graphs] : graphs) visit(inner, indexValues, tables, rows);
    }
  }
}

const axisOf = (node: NodeProto) => node.attribute.find(({ name }) => name === 'axis')?.i ?? 0n;
