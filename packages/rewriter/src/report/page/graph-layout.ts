/** Places the nodes of a small graph in layers: what is computed later stands lower, every part of a module in its own lane. */

import type { ExcerptNode, ModulePart } from '../module-graph/excerpt.js';

export interface PlacedNode {
  readonly node: ExcerptNode;
  /** Middle of the node. */
  readonly x: number;
  readonly layer: number;
  readonly width: number;
}

export interface PlacedEdge {
  readonly from: ModulePart;
  /** A point a layer, from the source's layer to the target's. */
  readonly points: readonly { readonly x: number; readonly layer: number }[];
}

export interface GraphLayout {
  readonly nodes: readonly PlacedNode[];
  readonly edges: readonly PlacedEdge[];
  readonly width: number;
  readonly layers: number;
}

/** Sizes in pixels. */
export interface LayoutSizes {
  readonly nodeWidth: (node: ExcerptNode) => number;
  readonly gap: number;
}

/** Where a part's chain of nodes stands, in lanes from the left. A composition stands below what it composes. */
const LANES: Readonly<Partial<Record<ModulePart, number>>> = { layer: 0, adapter: 1, norm: 2 };
/** What an edge takes up in the layers that it passes. */
const EDGE_WIDTH = 10;

/** A node, or an edge where it passes a layer. */
interface Item {
  readonly width: number;
  readonly sources: readonly Item[];
  wish: number;
  x: number;
}

/** @param nodes in an order in which they can be computed */
export function layoutGraph(nodes: readonly ExcerptNode[], { nodeWidth, gap }: LayoutSizes): GraphLayout {
  const layerOf = layersOf(nodes);
  const layers = Math.max(...layerOf) + 1;
  const rows: Item[][] = Array.from({ length: layers }, () => []);
  const laneWidth = Math.max(...nodes.map(nodeWidth)) + gap;

  const items: Item[] = [];
  const paths: { from: ModulePart; items: Item[]; first: number }[] = [];
  const byLayer = nodes.map((_, index) => index).sort((a, b) => layerOf[a]! - layerOf[b]! || a - b);
  for (const index of byLayer) {
    const node = nodes[index]!;
    const arrivals = node.sources.map((source) => {
      const path = [items[source]!];
      for (let layer = layerOf[source]! + 1; layer < layerOf[index]!; layer++) {
        const passing: Item = { width: EDGE_WIDTH, sources: [path.at(-1)!], wish: 0, x: 0 };
        rows[layer]!.push(passing);
        path.push(passing);
      }
      paths.push({ from: nodes[source]!.part, items: path, first: layerOf[source]! });
      return path;
    });
    const item: Item = { width: nodeWidth(node), sources: arrivals.map((path) => path.at(-1)!), wish: 0, x: 0 };
    for (const path of arrivals) path.push(item);
    items[index] = item;
    rows[layerOf[index]!]!.push(item);
  }

  const laneOf = new Map(nodes.map((node, index) => [items[index]!, LANES[node.part]]));
  for (const row of rows) {
    for (const item of row) item.wish = wishOf(item, laneOf.get(item), laneWidth);
    place(row, gap);
  }
  const all = rows.flat();
  const left = Math.min(...all.map(({ x, width }) => x - width / 2));
  const right = Math.max(...all.map(({ x, width }) => x + width / 2));
  return {
    nodes: nodes.map((node, index) => ({
      node,
      x: items[index]!.x - left,
      layer: layerOf[index]!,
      width: items[index]!.width,
    })),
    edges: paths.map(({ from, items: path, first }) => ({
      from,
      points: path.map(({ x }, step) => ({ x: x - left, layer: first + step })),
    })),
    width: right - left,
    layers,
  };
}

/** Activations as high as they can be, what is computed from weights alone as low: next to what needs it. */
function layersOf(nodes: readonly ExcerptNode[]): number[] {
  const highest: number[] = [];
  for (const { sources } of nodes) highest.push(Math.max(-1, ...sources.map((source) => highest[source]!)) + 1);
  const lowest = [...highest];
  const activations = new Set<number>();
  for (const [index, { part, sources }] of nodes.entries()) {
    if (part === 'value' || sources.some((source) => activations.has(source))) activations.add(index);
  }
  const readers = nodes.map((): number[] => []);
  for (const [index, { sources }] of nodes.entries()) for (const source of sources) readers[source]!.push(index);
  for (let index = nodes.length - 1; index >= 0; index--) {
    if (activations.has(index) || readers[index]!.length === 0) continue;
    lowest[index] = Math.min(...readers[index]!.map((reader) => lowest[reader]!)) - 1;
  }
  return lowest;
}

/** A lane's nodes stay in it; others stand under the middle of what they read. */
function wishOf({ sources }: Item, lane: number | undefined, laneWidth: number): number {
  if (lane !== undefined) return lane * laneWidth;
  if (sources.length === 0) return laneWidth / 2;
  return sources.reduce((sum, { x }) => sum + x, 0) / sources.length;
}

/** Sets x of a layer's items, as near to their wishes as is possible without overlaps (by pooling neighbours that meet). */
function place(row: Item[], gap: number): void {
  row.sort((a, b) => a.wish - b.wish);
  const groups: { members: Item[]; middle: number; width: number }[] = [];
  for (const item of row) {
    let group = { members: [item], middle: item.wish, width: item.width };
    for (let last = groups.at(-1); last && overlaps(last, group, gap); last = groups.at(-1)) {
      groups.pop();
      const members = [...last.members, ...group.members];
      const width = last.width + gap + group.width;
      const sum = last.middle * last.members.length + group.middle * group.members.length;
      group = { members, middle: sum / members.length, width };
    }
    groups.push(group);
  }
  for (const { members, middle, width } of groups) {
    let at = middle - width / 2;
    for (const item of members) {
      item.x = at + item.width / 2;
      at += item.width + gap;
    }
  }
}

const overlaps = (
  left: { readonly middle: number; readonly width: number },
  right: { readonly middle: number; readonly width: number },
  gap: number,
) => left.middle + left.width / 2 + gap > right.middle - right.width / 2;
