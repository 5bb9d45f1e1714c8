/** The modules of a report, a row each; of a large model, a fold a layer. */

import type { FusedModuleReport, ModuleReport } from '../report.js';
import { errorRatio, type Findings, type ModuleErrors, worstOf } from '../verification.js';
import { errorStrip } from './error-chart.js';
import type { ErrorScale } from './error-scale.js';
import { anchorOf, drawnModule } from './error-section.js';
import { plural, times } from './figures.js';
import { html, type Markup } from './markup.js';
import { type Group, groupByLayer } from './module-groups.js';

/** Modules that are listed without folds at most. */
const LONGEST_LIST = 80;

export function moduleSection(modules: readonly ModuleReport[], findings: Findings, scale: ErrorScale): Markup {
  if (modules.length === 0) {
    return html`<section><h2>Modules</h2><p class="quiet">Nothing in this graph is a DoRA module, and nothing looks like one.</p></section>`;
  }
  const table = new ModuleTable(modules, findings, scale);
  const groups = groupByLayer(modules);
  const folds = modules.length > LONGEST_LIST && groups.length > 1;
  return html`<section>
<h2>Modules</h2>
<p class="intro">In the order of the graph, by PEFT’s module paths.${folds && ' Layers in which something was left alone or failed are open.'}</p>
${folds ? groups.map((group) => table.fold(group)) : table.whole(groups)}
</section>`;
}

class ModuleTable {
  readonly #indices: ReadonlyMap<ModuleReport, number>;
  readonly #findings: Findings;
  readonly #scale: ErrorScale;
  readonly #withErrors: boolean;

  constructor(modules: readonly ModuleReport[], findings: Findings, scale: ErrorScale) {
    this.#indices = new Map(modules.map((module, index) => [module, index]));
    this.#findings = findings;
    this.#scale = scale;
    this.#withErrors = findings.errors.size + findings.unchecked.size > 0;
  }

  whole(groups: readonly Group<ModuleReport>[]): Markup {
    return html`<table>
${this.#head()}
${groups.map(
  ({ prefix, members }) => html`<tbody>
${prefix !== '' && html`<tr class="group"><th colspan="${this.#columns}"><code>${prefix}</code></th></tr>`}
${members.map((member) => this.#row(member))}
</tbody>`,
)}
</table>`;
  }

  fold({ prefix, members }: Group<ModuleReport>): Markup {
    const items = members.map(({ item }) => item);
    const fused = items.filter(({ status }) => status === 'fused').length;
    const errors = items.flatMap((item) => this.#findings.errors.get(item) ?? []);
    const failed = errors.filter(({ passed }) => !passed).length;
    const note = [
      `${fused === items.length ? '' : `${fused} of `}${plural(items.length, 'module')} fused`,
      errors.length > 0 && `errors up to ${times(errorRatio(worstOf(errors)))}`,
    ].filter(Boolean);
    const open = failed > 0 || items.some(({ status }) => status === 'skipped');
    return html`<details class="layer"${open && html` open`}><summary><code>${prefix || 'the model itself'}</code><span class="note">${note.join(', ')}</span>${failed > 0 && statusMark('failed')}</summary>
<table>${this.#head()}<tbody>
${members.map((member) => this.#row(member))}
</tbody></table></details>`;
  }

  get #columns(): number {
    return this.#withErrors ? 8 : 7;
  }

  #head(): Markup {
    return html`<thead><tr><th>Module</th><th>Kind</th><th class="right">Rank</th><th class="right">Scaling</th><th>Types</th><th>As exported</th>${this.#withErrors && html`<th>Error</th>`}<th>Status</th></tr></thead>`;
  }

  #row({ item: module, tail }: Group<ModuleReport>['members'][number]): Markup {
    const index = this.#indices.get(module)!;
    const errors = this.#findings.errors.get(module);
    const name = html`<td class="name"><code>${tail}</code>${module.adapter !== null && module.adapter !== 'default' && html` <span class="tag">${module.adapter}</span>`}</td>`;
    if (module.status !== 'fused') {
      const reason =
        module.status === 'skipped'
          ? html`${module.reason}${module.culprit && html` (<code>${module.culprit.opType}</code> ${module.culprit.name || module.culprit.output})`}`
          : html`${module.operator} was in the file already`;
      return html`<tr id="${anchorOf(index)}">${name}<td class="inline">${module.kind}</td><td class="why" colspan="${this.#columns - 3}">${reason}</td><td class="end">${statusMark(module.status)}</td></tr>`;
    }
    const failed = errors && !errors.passed;
    const detail = failed ? errors.reason : this.#findings.unchecked.get(module);
    return html`<tr id="${anchorOf(index)}">${name}<td class="inline">${module.kind}</td><td class="right number inline" data-label="rank">${module.rank ?? 'any'}</td><td class="right number inline" data-label="scaling">${Number(module.scaling.toPrecision(6))}</td><td class="inline types">${typesOf(module)}</td><td class="why inline">${exportForm(module)}</td>${
      this.#withErrors && html`<td class="error">${this.#errorCell(module, index, errors)}</td>`
    }<td class="end">${statusMark(failed ? 'failed' : 'fused')}</td></tr>${detail && html`<tr class="detail"><td class="why" colspan="${this.#columns}">${!failed && 'Judged with the whole model only: '}${detail}</td></tr>`}`;
  }

  #errorCell(module: ModuleReport, index: number, errors: ModuleErrors | undefined): Markup | false {
    if (errors) {
      return html`<div class="errors">${errorStrip(drawnModule(module, index, errors), this.#scale)}<span class="number">${times(errorRatio(errors))}</span></div>`;
    }
    return this.#findings.unchecked.has(module) && html`<span class="quiet">not by itself</span>`;
  }
}

export const statusMark = (name: string): Markup =>
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
  return `${CHAINED.get(form.base) ?? form.base}, ${norm}`;
}

const CHAINED: ReadonlyMap<FusedModuleReport['form']['base'], string> = new Map([
  ['adapted', 'chained'],
  ['recomputed', 'beside another adapter'],
]);
