/** The picture of a verification: each module's error against float64, before and after, as an inline SVG. */

import type { ErrorScale } from './error-scale.js';
import { scientific } from './figures.js';
import { html, type Markup } from './markup.js';
import { type Group, groupByLayer, shortName } from './module-groups.js';

/** What is drawn of one module. Errors are relative to the largest |reference|. */
export interface DrawnModule {
  readonly path: string;
  readonly errorOriginal: number;
  readonly errorRewritten: number;
  /** The largest error that the rule allows. */
  readonly limit?: number | undefined;
  readonly passed: boolean;
  /** Where on the page the module is described: an element's id. */
  readonly anchor: string;
}

const width = 960;
const plot = { left: 56, right: 12, top: 16, bottom: 44 };
/** Modules side by side at most: with more, dots and dashes would run into each other. */
const MOST_COLUMNS = 128;
/** A chart of one row, and each of several. */
const heights = { single: 300, several: 210 };

/**
 * Columns in graph order; a ring for the original, a dot for the rewritten module (inside the ring where they are equal), a dash
 * for the limit. Large models take several rows, which break between layers.
 */
export function errorChart(modules: readonly DrawnModule[], scale: ErrorScale): Markup {
  const rows = rowsOf(groupByLayer(modules));
  const longest = Math.max(...rows.map((row) => row.flatMap(({ members }) => members).length));
  const step = (width - plot.left - plot.right) / longest;
  const height = rows.length === 1 ? heights.single : heights.several;
  return html`${rows.map((row) => chartRow(row, { step, height, scale }))}`;
}

type Layer = Group<DrawnModule>;

function rowsOf(layers: readonly Layer[]): Layer[][] {
  const total = layers.reduce((sum, { members }) => sum + members.length, 0);
  // Rows of about one length look better than full ones and a rest.
  const target = Math.ceil(total / Math.ceil(total / MOST_COLUMNS));
  const rows: Layer[][] = [[]];
  let columns = 0;
  for (const layer of layers.flatMap(splitWide)) {
    if (columns > 0 && columns + layer.members.length > Math.max(target, MOST_COLUMNS * 0.75)) {
      rows.push([]);
      columns = 0;
    }
    rows.at(-1)!.push(layer);
    columns += layer.members.length;
  }
  return rows;
}

function splitWide({ prefix, members }: Layer): Layer[] {
  return Array.from({ length: Math.ceil(members.length / MOST_COLUMNS) }, (_, index) => ({
    prefix,
    members: members.slice(index * MOST_COLUMNS, (index + 1) * MOST_COLUMNS),
  }));
}

interface RowGeometry {
  /** Width of a column. */
  readonly step: number;
  readonly height: number;
  readonly scale: ErrorScale;
}

function chartRow(layers: readonly Layer[], { step, height, scale }: RowGeometry): Markup {
  const bottom = height - plot.bottom;
  const radius = Math.min(5, Math.max(1.5, step * 0.3));
  const x = (index: number) => round(plot.left + (index + 0.5) * step);
  const y = (error: number) => round(bottom - scale.position(error) * (bottom - plot.top));

  const grid = scale.decades.map((decade) => {
    const at = y(10 ** decade);
    return html`<line class="grid" x1="${plot.left}" x2="${width - plot.right}" y1="${at}" y2="${at}"/><text class="tick" x="${plot.left - 8}" y="${at + 4}" text-anchor="end">10<tspan class="power" dy="-5">${String(decade).replace('-', '−')}</tspan></text>`;
  });

  let first = 0;
  const bands = layers.map(({ prefix, members }, index) => {
    const left = round(plot.left + first * step);
    const bandWidth = round(members.length * step);
    first += members.length;
    const name = shortName(prefix);
    const label = [name, name.split(' ').at(-1)!].find((text) => text.length * 6.6 < bandWidth - 2);
    return html`${index % 2 === 0 && html`<rect class="band" x="${left}" y="${plot.top}" width="${bandWidth}" height="${bottom - plot.top}"/>`}${label && html`<text class="layer-name" x="${round(left + bandWidth / 2)}" y="${bottom + 20}" text-anchor="middle">${label}</text>`}`;
  });

  const modules = layers.flatMap(({ members }) => members.map(({ item }) => item));
  const columns = modules.map((module, index) => {
    const [at, original, rewritten] = [x(index), y(module.errorOriginal), y(module.errorRewritten)];
    const dash = Math.max(2.5, radius * 1.4);
    return html`<a href="#${module.anchor}" class="${module.passed ? 'module' : 'module failed'}"><title>${module.path}: original ${scientific(module.errorOriginal)}, rewritten ${scientific(module.errorRewritten)}</title><rect class="target" x="${round(at - step / 2)}" y="${plot.top}" width="${round(step)}" height="${bottom - plot.top}"/><line class="stem" x1="${at}" x2="${at}" y1="${original}" y2="${rewritten}"/>${module.limit !== undefined && html`<line class="limit" x1="${round(at - dash)}" x2="${round(at + dash)}" y1="${y(module.limit)}" y2="${y(module.limit)}"/>`}<circle class="original" cx="${at}" cy="${original}" r="${round(radius + 1)}"/><circle class="rewritten" cx="${at}" cy="${rewritten}" r="${round(radius * 0.85)}"/></a>`;
  });

  return html`<svg class="error-chart" viewBox="0 0 ${width} ${height}" role="img" aria-label="Error of each module against DoRA in float64, original and rewritten">${bands}${grid}${columns}</svg>`;
}

/** The same for one module, lying on its side, for a table's cell. */
export function errorStrip(module: DrawnModule, scale: ErrorScale): Markup {
  const x = (error: number) => round(6 + scale.position(error) * 108);
  const [original, rewritten] = [x(module.errorOriginal), x(module.errorRewritten)];
  return html`<svg class="error-strip${!module.passed && ' failed'}" viewBox="0 0 120 14" aria-hidden="true"><line class="grid" x1="6" x2="114" y1="7" y2="7"/><line class="stem" x1="${original}" x2="${rewritten}" y1="7" y2="7"/>${module.limit !== undefined && html`<line class="limit" x1="${x(module.limit)}" x2="${x(module.limit)}" y1="2" y2="12"/>`}<circle class="original" cx="${original}" cy="7" r="4.6"/><circle class="rewritten" cx="${rewritten}" cy="7" r="3"/></svg>`;
}

const round = (value: number) => Math.round(value * 10) / 10;
