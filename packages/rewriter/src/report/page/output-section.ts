/** What a verification found of the outputs of the whole model, and how it was run. */

import type { DetailedVerification } from '../verification.js';
import { plural, scientific } from './figures.js';
import { html, type Markup } from './markup.js';
import { statusMark } from './module-section.js';

export function outputSection(verification: DetailedVerification): Markup {
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
  html`<tr><td class="name"><code>${name}</code></td><td class="right inline" data-label="difference">${scientific(maxRelative)}</td><td class="right inline" data-label="cosine">${cosine.toFixed(8)}</td><td class="wide">${passed ? html`<span class="status">equal within the rule</span>` : statusMark('failed')}${reason && html`<div class="why">${reason}</div>`}</td></tr>`;

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
    ({ inputs, leftPadding = [], skipped }) =>
      html`<li>${Object.entries(inputs).map(([name, dims]) => html`<code>${name}</code> [${dims.join(', ')}] `)}${leftPadding.length > 0 && ` padded on the left by ${leftPadding.join(', ')}`}${skipped !== null && html`<div class="why">not used: ${skipped}</div>`}</li>`,
  )}</ol></details>`;
}
