/** What every page has in common: a self-contained document, tiles, and how it was made. */

import type { ModuleGraph } from '../module-graph/module-graphs.js';
import { type Content, html, Markup } from './markup.js';
import { style } from './style.js';

/** What the page shows beyond the report, where it is known. */
export interface PageContext {
  /** The command that made the report. */
  readonly command?: string;
  /** Name → version of what took part. */
  readonly versions?: Readonly<Record<string, string>>;
  /** Size of the model with its external data, in bytes. */
  readonly bytes?: { readonly before: number; readonly after: number };
  /** Modules in both graphs: see `readModuleGraphs`. */
  readonly graphs?: readonly ModuleGraph[];
}

/** A whole page. The same body gives the same bytes. */
export function pageFrame(title: string, body: Markup): string {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
  return page.toString();
}

/** A figure with a name and a note. */
export const tile = (name: string, figure: Content, note: Content, more?: Content): Markup =>
  html`<div class="tile"><dt>${name}</dt><dd><div class="figure">${figure}</div><div class="note">${note}</div>${more}</dd></div>`;

/** Command and versions behind a report. */
export function madeSection(
  report: { readonly schemaVersion: number } | undefined,
  { command, versions = {} }: PageContext,
): Markup {
  return html`<section>
<h2>How this was made</h2>
<dl class="made">
${command !== undefined && html`<dt>Command</dt><dd><code>${command}</code></dd>`}
${Object.entries(versions).map(([name, version]) => html`<dt>${name}</dt><dd>${version}</dd>`)}
${report && html`<dt>Report</dt><dd>schema version ${report.schemaVersion}</dd>`}
</dl>
</section>`;
}
