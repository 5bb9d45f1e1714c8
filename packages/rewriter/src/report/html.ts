/** The report as one self-contained HTML page: no script, no request to anywhere, everything that came from a file escaped. */

import { errorScaleOf, errorSection, errorTile } from './page/error-section.js';
import { byteSize, change, integer, plural } from './page/figures.js';
import { madeSection, type PageContext, pageFrame, tile } from './page/frame.js';
import { graphSection } from './page/graph-section.js';
import { html, type Markup } from './page/markup.js';
import { moduleSection } from './page/module-section.js';
import { outputSection } from './page/output-section.js';
import { sentence, verdict } from './page/verdict.js';
import type { RewriteReport } from './report.js';
import { type DetailedVerification, findingsOf, type ModuleErrors } from './verification.js';

/** The page of a report. The same report and context give the same bytes. */
export function reportPage(report: RewriteReport, context: PageContext = {}): string {
  const verification: DetailedVerification | undefined = report.verification;
  const findings = findingsOf(report.modules, verification);
  const scale = errorScaleOf(findings);
  return pageFrame(
    `${report.model}: DoRA report`,
    html`${heading(report, verification)}
${tiles(report, context, [...findings.errors.values()])}
${errorSection(report.modules, findings, scale)}
${graphSection(context.graphs)}
${moduleSection(report.modules, findings, scale)}
${verification && outputSection(verification)}
${madeSection(report, context)}`,
  );
}

function heading(report: RewriteReport, verification: DetailedVerification | undefined): Markup {
  const { totals, producer, opset, options, mode } = report;
  const facts = [
    producer.name && `exported by ${producer.name} ${producer.version}`.trim(),
    `opset ${opset}`,
    mode !== 'inspect' &&
      `form ${options.form}, scale ${options.scale}, target ${options.target}${options.compact ? ', compact' : ''}`,
  ].filter(Boolean);
  return html`<header>
<div class="eyebrow"><span class="mark">ort-dora</span>${verdict(verification, mode === 'inspect' ? 'inspected, nothing written' : 'not verified')}</div>
<p class="quiet">${HEADINGS[mode]}</p>
<h1 class="name">${report.model}</h1>
<p class="lead">${lead(totals, mode)} ${verification?.summary !== undefined && sentence(verification.summary)}</p>
<p class="facts">${facts.join(' · ')}</p>
</header>`;
}

const HEADINGS: Readonly<Record<RewriteReport['mode'], string>> = {
  rewrite: 'Rewrite of',
  inspect: 'Inspection of',
  attach: 'An adapter attached to',
};

function lead(totals: RewriteReport['totals'], mode: RewriteReport['mode']): string {
  const { modules, fused, already } = totals;
  if (mode === 'attach') return `${plural(fused, 'layer')} ${fused === 1 ? 'carries' : 'carry'} the adapter.`;
  const would = mode === 'inspect' ? 'can be' : modules === 1 ? 'is' : 'are';
  if (modules === 0) return 'No DoRA module was found; nothing was fused.';
  if (already === modules) return `${plural(already, 'module')} had been fused before; nothing was left to do.`;
  const before = already > 0 ? ` ${already} had been fused before.` : '';
  return `${integer(fused)} of ${plural(modules, 'DoRA module')} ${would} fused.${before}`;
}

function tiles(report: RewriteReport, context: PageContext, errors: readonly ModuleErrors[]): Markup {
  const { totals } = report;
  const share = (part: number) => `width:${totals.modules === 0 ? 0 : (100 * part) / totals.modules}%`;
  const kinds = [
    totals.full > 0 && `${totals.full} with the norm in the graph`,
    totals.composeOnly > 0 && `${totals.composeOnly} with it folded`,
    totals.skipped > 0 && `${totals.skipped} left alone`,
    totals.already > 0 && `${totals.already} already fused`,
  ].filter(Boolean);
  return html`<dl class="tiles">
${tile(report.mode === 'attach' ? 'Layers adapted' : 'Modules fused', html`${integer(totals.fused)} <small>of ${integer(totals.modules)}</small>`, kinds.join(', '), html`<div class="meter"><i style="${share(totals.fused + totals.already)}"></i><i class="skipped" style="${share(totals.skipped)}"></i></div>`)}
${tile('Nodes in the graph', integer(totals.nodesAfter), `${change(totals.nodesBefore, totals.nodesAfter)}, from ${integer(totals.nodesBefore)}`, meter(totals.nodesBefore, totals.nodesAfter))}
${sizeTile(report, context)}
${errorTile(errors, 'not measured; run it with --verify')}
</dl>`;
}

function meter(before: number, after: number): Markup {
  const width = before === 0 ? 0 : Math.min(100, (100 * after) / before);
  return html`<div class="meter"><i style="width:${width}%"></i></div>`;
}

function sizeTile({ totals }: RewriteReport, { bytes }: PageContext): Markup {
  if (!bytes) return tile('Weights no longer needed', byteSize(totals.bytesSaved), 'initializers that nothing reads');
  return tile(
    'Size with weights',
    byteSize(bytes.after),
    `${change(bytes.before, bytes.after)}, from ${byteSize(bytes.before)}`,
    meter(bytes.before, bytes.after),
  );
}
