import { expect, test } from 'vitest';
import type { ExcerptNode, ModulePart } from '../module-graph/excerpt.js';
import { type GraphLayout, layoutGraph } from './graph-layout.js';

const node = (part: ModulePart, label: string, ...sources: number[]): ExcerptNode => ({
  part,
  label,
  name: label,
  notes: [],
  sources,
});

/** DoRA as PEFT writes it. */
const dora: readonly ExcerptNode[] = [
  node('value', 'x'),
  node('layer', 'MatMul W', 0),
  node('adapter', 'MatMul A', 0),
  node('adapter', 'MatMul B', 2),
  node('norm', 'EyeLike'),
  node('norm', 'MatMul', 4),
  node('norm', 'MatMul', 5),
  node('norm', 'Transpose W'),
  node('norm', 'Add', 6, 7),
  node('norm', 'ReduceL2', 8),
  node('norm', 'Div', 9),
  node('composition', 'Mul', 3, 10),
  node('composition', 'Mul', 1, 10),
  node('composition', 'Add', 12, 11),
  node('composition', 'Add', 13, 1),
  node('value', 'y', 14),
];

const gap = 12;
const layout = (nodes: readonly ExcerptNode[]) =>
  layoutGraph(nodes, { gap, nodeWidth: ({ label }) => 20 + 6 * label.length });

function overlapping({ nodes }: GraphLayout): string[] {
  return nodes.flatMap((a, i) =>
    nodes
      .slice(i + 1)
      .filter((b) => b.layer === a.layer && Math.abs(a.x - b.x) < (a.width + b.width) / 2 + gap - 1e-6)
      .map((b) => `${a.node.label} and ${b.node.label}`),
  );
}

test('nodes of a layer do not touch, and every edge goes down', () => {
  const placed = layout(dora);
  expect(overlapping(placed)).toEqual([]);
  for (const { node: drawn, layer } of placed.nodes) {
    for (const source of drawn.sources) expect(placed.nodes[source]!.layer).toBeLessThan(layer);
  }
  expect(placed.edges).toHaveLength(dora.reduce((count, { sources }) => count + sources.length, 0));
});

test('an edge passes between the nodes of the layers on its way', () => {
  const placed = layout(dora);
  for (const { points } of placed.edges) {
    expect(points.map(({ layer }) => layer)).toEqual(points.map((_, step) => points[0]!.layer + step));
    for (const { x, layer } of points.slice(1, -1)) {
      for (const other of placed.nodes.filter((each) => each.layer === layer)) {
        expect(Math.abs(other.x - x)).toBeGreaterThan(other.width / 2);
      }
    }
  }
});

test('what is computed from weights stands next to what needs it', () => {
  const placed = layout(dora);
  const [transposed, sum] = [7, 8].map((index) => placed.nodes[index]!);
  expect(transposed!.layer).toBe(sum!.layer - 1);
});

test('the picture begins at its left edge and ends at its right', () => {
  const placed = layout(dora);
  expect(Math.min(...placed.nodes.map(({ x, width }) => x - width / 2))).toBeGreaterThanOrEqual(0);
  expect(Math.max(...placed.nodes.map(({ x, width }) => x + width / 2))).toBeLessThanOrEqual(placed.width);
});
