/** How close each module is to DoRA: a picture of the errors. */

import type { ModuleReport } from '../report.js';
import { errorRatio, type Findings, type ModuleErrors, worstOf } from '../verification.js';
import { type DrawnModule, errorChart } from './error-chart.js';
import { type ErrorScale, errorScale } from './error-scale.js';
import { plural, times } from './figures.js';
import { tile } from './frame.js';
import { html, type Markup } from './markup.js';

export function errorSection(
  modules: readonly ModuleReport[],
  { errors }: Findings,
  scale: ErrorScale,
): Markup | false {
  const columns = modules.flatMap((module, index) => {
    const figures = errors.get(module);
    return figures ? [drawnModule(module, index, figures)] : [];
  });
  if (columns.length === 0) return false;
  const generated = [...errors.values()].filter(({ inputs }) => inputs === 'generated').length;
  return html`<section>
<h2>How close each module is to DoRA</h2>
<p class="intro">The largest error of a module’s output against the DoRA formula in float64, relative to the largest value. Lower is closer. Inputs are those that the original graph gives the module.${generated > 0 && ` Those of ${plural(generated, 'module')} inside subgraphs and functions were generated.`}</p>
<div class="legend"><span><i></i>original</span><span><i class="rewritten"></i>rewritten</span>${columns.some(({ limit }) => limit !== undefined) && html`<span><i class="limit"></i>limit: twice the original’s error, and one rounding</span>`}</div>
<div class="scroll" tabindex="0" role="group" aria-label="Chart of errors">${errorChart(columns, scale)}</div>
</section>`;
}

/** The figure that says most of them; `otherwise`: what is said where nothing was measured. */
export function errorTile(errors: readonly ModuleErrors[], otherwise: string | false): Markup {
  if (errors.length === 0) return tile('Worst module error', '–', otherwise);
  const worst = worstOf(errors);
  return tile(
    'Worst module error',
    times(errorRatio(worst)),
    html`the original’s, at <span class="name">${worst.path.split('.').at(-1)}</span>`,
  );
}

/** One scale for all errors of a page. */
export const errorScaleOf = ({ errors }: Findings): ErrorScale =>
  errorScale(
    [...errors.values()].flatMap(({ errorOriginal, errorRewritten, limit = errorRewritten }) => [
      errorOriginal,
      errorRewritten,
      limit,
    ]),
  );

/** Where on the page a module of the report is described. */
export const anchorOf = (index: number) => `module-${index + 1}`;

export function drawnModule(module: ModuleReport, index: number, errors: ModuleErrors): DrawnModule {
  return {
    path: module.path,
    errorOriginal: errors.errorOriginal,
    errorRewritten: errors.errorRewritten,
    limit: errors.limit,
    passed: errors.passed,
    anchor: anchorOf(index),
  };
}
