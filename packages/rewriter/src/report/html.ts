/** The report as one self-contained HTML page: no script, no request to anywhere, everything that came from a file escaped. */

import { type DrawnModule, errorChart, errorStrip } from './page/error-chart.js';
import { type ErrorScale, errorScale } from './page/error-scale.js';
import { byteSize, change, integer, plural, scientific, times } from './page/figures.js';
import { madeSection, type PageContext, pageFrame, tile } from './page/frame.js';
import { html, type Markup } from './page/markup.js';
import { groupByLayer } from './page/module-groups.js';
import type { FusedModuleReport, ModuleReport, ReportVerification, RewriteReport } from './report.js';

/** A verification with the details that the page can show. The report's own figures are enough. */
export interface DetailedVerification extends ReportVerification {
  /** The whole result in one sentence. */
  readonly summary?: string;
  readonly outputs: readonly (ReportVerification['outputs'][number] & { readonly reason?: string })[];
  readonly modules: readonly (ReportVerification['modules'][number] & {
    readonly scope?: string;
    /** The largest error that the rule allows, on the scale of the errors. */
    readonly limit?: number;
    readonly reason?: string;
  })[];
  /** Modules that could not be judged by themselves. */
  readonly unchecked?: readonly { readonly path: string; readonly adapter: string | null; readonly reason: string }[];
  readonly notes?: readonly string[];
  /** Ways in which the rewritten model was run: `stock`, `library`. */
  readonly executions?: readonly string[];
  /** Sets of inputs: dims by name; why a set was not used, or null. */
  readonly runs?: readonly {
    readonly inputs: Readonly<Record<string, readonly number[]>>;
    readonly skipped: string | null;
  }[];
}

type ModuleErrors = DetailedVerification['modules'][number];

/** The page of a report. The same report and context give the same bytes. */
export function reportPage(report: RewriteReport, context: PageContext = {}): string {
  const verification: DetailedVerification | undefined = report.verification;
  const errors = errorsByModule(report.modules, verification);
  const shown = [...errors.values()];
  const scale = errorScale(shown.flatMap((e) => [e.errorOriginal, e.errorRewritten, e.limit ?? e.errorRewritten]));
  return pageFrame(
    `${report.model}: DoRA report`,
    html`${heading(report, verification)}
${tiles(report, context, shown)}
${verification && shown.length > 0 && errorSection(report, errors, scale)}
${moduleSection(report, errors, scale)}
${verification && outputSection(verification)}
${madeSection(report, context)}`,
  );
}

/** The figures of each module that has some: a module is found by its path, adapter and, where several share these, scope. */
function errorsByModule(
  modules: readonly ModuleReport[],
  verification: DetailedVerification | undefined,
): Map<ModuleReport, ModuleErrors> {
  const key = (module: { path: string; adapter: string | null; scope?: string }) =>
    JSON.stringify([module.path, module.adapter, module.scope ?? '']);
  const byKey = new Map(verification?.modules.map((errors) => [key(errors), errors]));
  const found = new Map<ModuleReport, ModuleErrors>();
  for (const module of modules) {
    const errors = module.status === 'fused' && (byKey.get(key(module)) ?? byKey.get(key({ ...module, scope: '' })));
    if (errors) found.set(module, errors);
  }
  return found;
}

function heading(report: RewriteReport, verification: DetailedVerification | undefined): Markup {
  const { totals, producer, opset, options, mode } = report;
  const verdict = verification
    ? verification.passed
      ? html`<span class="verdict good">verified</span>`
      : html`<span class="verdict bad">verification failed</span>`
    : html`<span class="verdict wait">${mode === 'inspect' ? 'inspected, nothing written' : 'not verified'}</span>`;
  const facts = [
    producer.name && `exported by ${producer.name} ${producer.version}`.trim(),
    `opset ${opset}`,
    mode !== 'inspect' &&
      `form ${options.form}, scale ${options.scale}, target ${options.target}${options.compact ? ', compact' : ''}`,
  ].filter(Boolean);
  return html`<header>
<div class="eyebrow"><span class="mark">ort-dora</span>${verdict}</div>
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

const sentence = (text: string) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

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
${errorTile(errors)}
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

function errorTile(errors: readonly ModuleErrors[]): Markup {
  if (errors.length === 0) return tile('Worst module error', '–', 'not measured; run it with --verify');
  const worst = errors.reduce((a, b) => (ratio(b) > ratio(a) || Number.isNaN(ratio(b)) ? b : a));
  return tile(
    'Worst module error',
    times(ratio(worst)),
    html`the original’s, at <span class="name">${worst.path.split('.').at(-1)}</span>`,
  );
}

function ratio({ errorOriginal, errorRewritten }: ModuleErrors): number {
  return errorRewritten === errorOriginal ? 1 : errorRewritten / errorOriginal;
}

const anchor = (index: number) => `module-${index + 1}`;

function drawn(module: ModuleReport, index: number, errors: ModuleErrors): DrawnModule {
  return {
    path: module.path,
    errorOriginal: errors.errorOriginal,
    errorRewritten: errors.errorRewritten,
    limit: errors.limit,
    passed: errors.passed,
    anchor: anchor(index),
  };
}

function errorSection(
  report: RewriteReport,
  errors: ReadonlyMap<ModuleReport, ModuleErrors>,
  scale: ErrorScale,
): Markup {
  const columns = report.modules.flatMap((module, index) => {
    const figures = errors.get(module);
    return figures ? [drawn(module, index, figures)] : [];
  });
  return html`<section>
<h2>How close each module is to DoRA</h2>
<p class="intro">The largest error of a module’s output against the DoRA formula in float64, relative to the largest value. Lower is closer. Inputs are those that the original graph gives the module.</p>
<div class="legend"><span><i></i>original</span><span><i class="rewritten"></i>rewritten</span>${columns.some(({ limit }) => limit !== undefined) && html`<span><i class="limit"></i>limit: twice the original’s error, and one rounding</span>`}</div>
<div class="scroll" tabindex="0" role="group" aria-label="Chart of errors">${errorChart(columns, scale)}</div>
</section>`;
}

function moduleSection(
  report: RewriteReport,
  errors: ReadonlyMap<ModuleReport, ModuleErrors>,
  scale: ErrorScale,
): Markup {
  if (report.modules.length === 0) {
    return html`<section><h2>Modules</h2><p class="quiet">Nothing in this graph is a DoRA module, and nothing looks like one.</p></section>`;
  }
  const indices = new Map(report.modules.map((module, index) => [module, index]));
  const withErrors = errors.size > 0;
  const columns = withErrors ? 8 : 7;
  return html`<section>
<h2>Modules</h2>
<p class="intro">In the order of the graph, by PEFT’s module paths.</p>
<table>
<thead><tr><th>Module</th><th>Kind</th><th class="right">Rank</th><th class="right">Scaling</th><th>Types</th><th>As exported</th>${withErrors && html`<th>Error</th>`}<th>Status</th></tr></thead>
${groupByLayer(report.modules).map(
  ({ prefix, members }) => html`<tbody>
${prefix !== '' && html`<tr class="group"><th colspan="${columns}"><code>${prefix}</code></th></tr>`}
${members.map(({ tail, item }) => moduleRow(item, tail, indices.get(item)!, errors.get(item), withErrors, scale, columns))}
</tbody>`,
)}
</table>
</section>`;
}

function moduleRow(
  module: ModuleReport,
  tail: string,
  index: number,
  errors: ModuleErrors | undefined,
  withErrors: boolean,
  scale: ErrorScale,
  columns: number,
): Markup {
  const name = html`<td class="name"><code>${tail}</code>${module.adapter !== null && module.adapter !== 'default' && html` <span class="tag">${module.adapter}</span>`}</td>`;
  if (module.status !== 'fused') {
    const reason =
      module.status === 'skipped'
        ? html`${module.reason}${module.culprit && html` (<code>${module.culprit.opType}</code> ${module.culprit.name || module.culprit.output})`}`
        : html`${module.operator} was in the file already`;
    return html`<tr id="${anchor(index)}">${name}<td class="inline">${module.kind}</td><td class="why" colspan="${columns - 3}">${reason}</td><td class="end">${status(module.status)}</td></tr>`;
  }
  const failed = errors && !errors.passed;
  return html`<tr id="${anchor(index)}">${name}<td class="inline">${module.kind}</td><td class="right number inline" data-label="rank">${module.rank ?? 'any'}</td><td class="right number inline" data-label="scaling">${Number(module.scaling.toPrecision(6))}</td><td class="inline types">${typesOf(module)}</td><td class="why inline">${exportForm(module)}</td>${
    withErrors &&
    html`<td class="error">${errors && html`<div class="errors">${errorStrip(drawn(module, index, errors), scale)}<span class="number">${times(ratio(errors))}</span></div>`}</td>`
  }<td class="end">${status(failed ? 'failed' : 'fused')}</td></tr>${failed && errors.reason && html`<tr class="detail"><td class="why" colspan="${columns}">${errors.reason}</td></tr>`}`;
}

const status = (name: string): Markup =>
  html`<span class="status ${name}">${name === 'already' ? 'fused before' : name}</span>`;

/** W's type, and the adapter's where it is another. */
function typesOf({ dtypes }: FusedModuleReport): string {
  const adapter = dtypes.adapter === dtypes.weight ? '' : ` + ${dtypes.adapter}`;
  return `${dtypes.weight}${adapter}`;
}

const deltas: Readonly<Record<NonNullable<FusedModuleReport['form']['delta']>, string>> = {
  eyeLike: 'EyeLike',
  equalEye: 'Equal eye',
  constantEye: 'constant eye',
  constantDelta: 'constant B·A',
  direct: 'B·A',
};

function exportForm({ form }: FusedModuleReport): string {
  if (form.norm === 'attached') return form.base;
  const norm =
    form.norm === 'composeOnly' ? 'norm folded' : form.delta === null ? 'norm' : `norm by ${deltas[form.delta]}`;
  return `${form.base === 'adapted' ? 'chained' : form.base}, ${norm}`;
}

function outputSection(verification: DetailedVerification): Markup {
  const { outputs, unchecked = [], notes = [] } = verification;
  return html`<section>
<h2>Outputs of the whole model</h2>
<p class="intro">Original and rewritten model on the same inputs: the largest difference relative to the largest value, and the cosine. ${executionsOf(verification)}</p>
<table>
<thead><tr><th>Output</th><th class="right">Largest difference</th><th class="right">Cosine</th><th>Status</th></tr></thead>
<tbody>
${outputs.map(outputRow)}
</tbody>
</table>
${unchecked.length + notes.length > 0 && html`<ul class="notes">${unchecked.map(({ path, reason }) => html`<li><code>${path}</code> was judged with the whole model only: ${reason}</li>`)}${notes.map((note) => html`<li>${note}</li>`)}</ul>`}
${inputSets(verification)}
</section>`;
}

const outputRow = ({ name, maxRelative, cosine, passed, reason }: DetailedVerification['outputs'][number]): Markup =>
  html`<tr><td class="name"><code>${name}</code></td><td class="right inline" data-label="difference">${scientific(maxRelative)}</td><td class="right inline" data-label="cosine">${cosine.toFixed(8)}</td><td class="wide">${passed ? html`<span class="status">equal within the rule</span>` : status('failed')}${reason && html`<div class="why">${reason}</div>`}</td></tr>`;

const executionNames: Readonly<Record<string, string>> = {
  stock: 'on stock ONNX Runtime, its operators inlined from the functions in the file',
  library: 'with the operator library’s kernels',
};

function executionsOf({ executions = [] }: DetailedVerification): string {
  const names = executions.map((execution) =>
    Object.hasOwn(executionNames, execution) ? executionNames[execution] : execution,
  );
  return names.length === 0 ? '' : `The rewritten model ran ${names.join(', and ')}.`;
}

function inputSets({ runs = [] }: DetailedVerification): Markup | false {
  if (runs.length === 0) return false;
  return html`<details><summary>${plural(runs.length, 'set')} of inputs</summary><ol>${runs.map(
    ({ inputs, skipped }) =>
      html`<li>${Object.entries(inputs).map(([name, dims]) => html`<code>${name}</code> [${dims.join(', ')}] `)}${skipped !== null && html`<div class="why">not used: ${skipped}</div>`}</li>`,
  )}</ol></details>`;
}
