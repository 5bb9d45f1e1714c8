/** The picture of one module's graph as an inline SVG, drawn as graph viewers draw: from x down to y. */

import type { ExcerptNode, GraphExcerpt, ModulePart } from '../module-graph/excerpt.js';
import { layoutGraph, type PlacedEdge, type PlacedNode } from './graph-layout.js';
import { html, type Markup } from './markup.js';

const lineHeight = 13;
const labelHeight = 22;
/** Between one layer and the next. */
const layerGap = 22;
const margin = 8;
const longestText = 24;

export function graphPicture({ nodes }: GraphExcerpt, label: string): Markup {
  const layout = layoutGraph(nodes, { nodeWidth, gap: 14 });
  const rows = rowsOf(layout.nodes);
  const width = Math.ceil(layout.width + 2 * margin);
  const height = rows.at(-1)!.bottom + margin;
  return html`<svg class="graph" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}">${layout.edges.map((placed) => edge(placed, rows))}${layout.nodes.map((placed) => box(placed, rows))}</svg>`;
}

/** Where a layer stands: as high as its highest node. */
interface Row {
  readonly top: number;
  readonly bottom: number;
}

function rowsOf(nodes: readonly PlacedNode[]): Row[] {
  const heights: number[] = [];
  for (const { node, layer } of nodes) heights[layer] = Math.max(heights[layer] ?? 0, heightOf(node));
  let top = margin;
  return heights.map((height) => {
    const row = { top, bottom: top + height };
    top = row.bottom + layerGap;
    return row;
  });
}

const heightOf = ({ notes }: ExcerptNode) => labelHeight + (notes.length === 0 ? 0 : notes.length * lineHeight + 1);

const middleOf = ({ top, bottom }: Row) => (top + bottom) / 2;

/** From the middle of a node to the middle of another, behind those that stand between; bent between layers only. */
function edge({ from, points }: PlacedEdge, rows: readonly Row[]): Markup {
  const [start, ...rest] = points;
  let previous = start!;
  const path = rest.map((point) => {
    const [out, into] = [rows[previous.layer]!.bottom, rows[point.layer]!.top];
    const [x, toX] = [round(previous.x + margin), round(point.x + margin)];
    const bend = (out + into) / 2;
    const last = point === rest.at(-1);
    const end = last ? middleOf(rows[point.layer]!) : rows[point.layer]!.bottom;
    previous = point;
    return x === toX ? `V${end}` : `V${out}C${x} ${bend} ${toX} ${bend} ${toX} ${into}V${end}`;
  });
  return html`<path class="edge ${from}" d="M${round(start!.x + margin)} ${middleOf(rows[start!.layer]!)}${path.join('')}"/>`;
}

function box({ node, x, layer, width }: PlacedNode, rows: readonly Row[]): Markup {
  const { part, label, name, notes } = node;
  const height = heightOf(node);
  const [middle, top] = [round(x + margin), round(middleOf(rows[layer]!) - height / 2)];
  const lines = notes.map(
    (note, index) =>
      html`<text class="note" x="${middle}" y="${top + 15 + (index + 1) * lineHeight}">${cutTo(note, longestText)}</text>`,
  );
  return html`<g class="node ${part}"><title>${[`${label} ${name}`, ...notes].join(', ')}</title><rect x="${round(middle - width / 2)}" y="${top}" width="${round(width)}" height="${height}" rx="${part === 'value' ? Math.min(18, height / 2) : 5}"/><text x="${middle}" y="${top + 15}">${cutTo(label, longestText)}</text>${lines}</g>`;
}

function nodeWidth({ part, label, notes }: ExcerptNode): number {
  const letters = Math.max(7.2 * shown(label), ...notes.map((note) => 5.9 * shown(note)));
  return Math.max(part === 'value' ? 40 : 54, letters + 18);
}

const shown = (text: string) => Math.min(text.length, longestText);

/** Cut in the middle: names differ at their ends. */
function cutTo(text: string, length: number): string {
  if (text.length <= length) return text;
  const head = Math.ceil((length - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (length - 1 - head))}`;
}

const round = (value: number) => Math.round(value * 10) / 10;

export const PART_NAMES: Readonly<Record<Exclude<ModulePart, 'value'>, string>> = {
  layer: 'the layer itself',
  adapter: 'B·A·x',
  norm: 'g, from the weights alone',
  composition: 'their composition',
  operator: 'fused operator',
};
