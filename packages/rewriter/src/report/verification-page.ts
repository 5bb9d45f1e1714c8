/** The page of `verify`: two models on the same inputs. */

import { errorScaleOf, errorSection, errorTile } from './page/error-section.js';
import { plural, scientific } from './page/figures.js';
import { madeSection, type PageContext, pageFrame, tile } from './page/frame.js';
import { graphSection } from './page/graph-section.js';
import { html, type Markup } from './page/markup.js';
import { moduleSection } from './page/module-section.js';
import { outputSection } from './page/output-section.js';
import { sentence, verdict } from './page/verdict.js';
import type { ModuleReport } from './report.js';
import { type DetailedVerification, findingsOf } from './verification.js';

export interface VerificationSubject {
  /** The file names of both models. */
  readonly original: string;
  readonly rewritten: string;
  /** The modules of the original that were looked for in the other: the fused ones of an inspection. */
  readonly modules: readonly ModuleReport[];
  readonly verification: DetailedVerification;
}

/** The page of a verification. The same subject and context give the same bytes. */
export function verificationPage(subject: VerificationSubject, context: PageContext = {}): string {
  const { original, rewritten, modules, verification } = subject;
  const findings = findingsOf(modules, verification);
  const scale = errorScaleOf(findings);
  return pageFrame(
    `${rewritten} against ${original}`,
    html`<header>
<div class="eyebrow"><span class="mark">ort-dora</span>${verdict(verification, 'not verified')}</div>
<p class="quiet">Verification of</p>
<h1 class="name">${rewritten}</h1>
<p class="lead">Against <span class="name">${original}</span>, on the same inputs. ${verification.summary !== undefined && sentence(verification.summary)}</p>
</header>
${tiles(verification)}
${errorSection(modules, findings, scale)}
${graphSection(context.graphs)}
${outputSection(verification)}
${modules.length > 0 && moduleSection(modules, findings, scale)}
${madeSection(undefined, context)}`,
  );
}

function tiles({ outputs, modules, unchecked = [], runs = [] }: DetailedVerification): Markup {
  const equal = outputs.filter(({ passed }) => passed).length;
  const worst = outputs.reduce((a, { maxRelative }) => Math.max(a, maxRelative), 0);
  const used = runs.filter(({ skipped }) => skipped === null).length;
  const judged = modules.length + unchecked.length;
  return html`<dl class="tiles">
${tile('Outputs equal', html`${equal} <small>of ${outputs.length}</small>`, used > 0 && `on ${plural(used, 'set')} of inputs`)}
${tile('Largest difference', scientific(worst), 'of the largest value of the same output')}
${tile('Modules judged', html`${modules.length} <small>of ${judged}</small>`, unchecked.length > 0 ? 'the others with the whole model only' : 'each by itself, against float64')}
${errorTile(modules, false)}
</dl>`;
}
