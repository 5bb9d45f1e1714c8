/** The report of a merge as one self-contained HTML page. */

import { byteSize, change, plural, scientific } from '../report/page/figures.js';
import { madeSection, type PageContext, pageFrame, tile } from '../report/page/frame.js';
import { html, type Markup } from '../report/page/markup.js';
import { groupByLayer } from '../report/page/module-groups.js';
import type { MergedModuleReport, MergeReport } from './merge-report.js';

/** The page of a report. The same report and context give the same bytes. */
export function mergePage(report: MergeReport, context: PageContext = {}): string {
  return pageFrame(
    `${report.model}: merged`,
    html`${heading(report)}
${tiles(report, context)}
${moduleSection(report)}
${madeSection(report, context)}`,
  );
}

function heading({ model, producer, opset, options, totals }: MergeReport): Markup {
  const facts = [
    producer.name && `exported by ${producer.name} ${producer.version}`.trim(),
    `opset ${opset}`,
    options.compact && 'compact',
  ].filter(Boolean);
  const left =
    totals.skipped > 0 ? ` ${plural(totals.skipped, 'other')} could not be merged and stayed as it was.` : '';
  return html`<header>
<div class="eyebrow"><span class="mark">ort-dora</span></div>
<p class="quiet">An adapter merged into</p>
<h1 class="name">${model}</h1>
<p class="lead">${plural(totals.merged, 'layer')} ${totals.merged === 1 ? 'has' : 'have'} one weight again, W′ = g·(W + s·B·A).${left}</p>
<p class="facts">${facts.join(' · ')}</p>
</header>`;
}

function tiles({ totals }: MergeReport, { bytes }: PageContext): Markup {
  const { fused, mergedCost, rounding, bytesPerAdapter } = totals;
  const [before, after] = [fused.weightBytes + fused.adapterBytes, mergedCost.weightBytes];
  const flops = fused.flopsPerRow === 0 ? '–' : change(fused.flopsPerRow, mergedCost.flopsPerRow);
  return html`<dl class="tiles">
${tile('Each further adapter', byteSize(bytesPerAdapter.merged), `a copy of every merged weight; not merged, ${byteSize(bytesPerAdapter.fused)} of A, B and g`)}
${bytes ? tile('Size with weights', byteSize(bytes.after), `${change(bytes.before, bytes.after)}, from ${byteSize(bytes.before)}`) : tile('Weights of these layers', byteSize(after), `${change(before, after)}, from ${byteSize(before)} with A, B and g`)}
${tile('Arithmetic of these layers', flops, `${scientific(mergedCost.flopsPerRow)} operations a row, from ${scientific(fused.flopsPerRow)}`)}
${tile('Rounding of W′', scientific(rounding.max), `of the largest |W′|, at worst; ${scientific(rounding.rms)} in the mean square`)}
</dl>`;
}

function moduleSection({ modules }: MergeReport): Markup {
  if (modules.length === 0) {
    return html`<section><h2>Layers</h2><p class="quiet">No adapter was found in this model; nothing was merged.</p></section>`;
  }
  return html`<section>
<h2>Layers</h2>
<p class="intro">Bytes of W, A, B and g against those of W′. Rounding is the one of W′ to its type: its largest error relative to the largest |W′|, and the root mean square of both.</p>
<table>
<thead><tr><th>Module</th><th>Kind</th><th class="right">Rank</th><th>Type</th><th class="right">Not merged</th><th class="right">Merged</th><th class="right">Rounding, largest</th><th class="right">mean square</th></tr></thead>
${groupByLayer(modules).map(
  ({ prefix, members }) => html`<tbody>
${prefix !== '' && html`<tr class="group"><th colspan="8"><code>${prefix}</code></th></tr>`}
${members.map(({ tail, item }) => moduleRow(item, tail))}
</tbody>`,
)}
</table>
</section>`;
}

function moduleRow(module: MergeReport['modules'][number], tail: string): Markup {
  const name = html`<td class="name"><code>${tail}</code>${module.adapter !== null && module.adapter !== 'default' && html` <span class="tag">${module.adapter}</span>`}</td>`;
  if (module.status === 'skipped')
    return html`<tr>${name}<td class="why" colspan="7">not merged: ${module.reason}</td></tr>`;
  const { kind, adapters, rank, dtypes, fused, merged, rounding } = module;
  const chained = adapters > 1 ? `, ${adapters} adapters` : '';
  return html`<tr>${name}<td class="inline">${kind}${chained}</td><td class="right number inline" data-label="rank">${rank}</td><td class="inline types">${dtypes.weight}</td><td class="right number inline" data-label="not merged">${byteSize(fused.weightBytes + fused.adapterBytes)}</td><td class="right number inline" data-label="merged">${byteSize(merged.weightBytes)}</td>${errors(rounding)}</tr>`;
}

function errors(rounding: MergedModuleReport['rounding']): Markup {
  if (rounding === null) return html`<td class="why" colspan="2">the weight of another module</td>`;
  return html`<td class="right number inline" data-label="rounding">${scientific(rounding.max)}</td><td class="right number inline" data-label="mean square">${scientific(rounding.rms)}</td>`;
}
