/** The graph before and after, around one module of each form. */

import type { ExcerptNode, GraphExcerpt } from '../module-graph/excerpt.js';
import type { ModuleGraph } from '../module-graph/module-graphs.js';
import { plural } from './figures.js';
import { graphPicture, PART_NAMES } from './graph-picture.js';
import { html, type Markup } from './markup.js';

export function graphSection(graphs: readonly ModuleGraph[] = []): Markup | false {
  const [first, ...others] = graphs;
  if (first === undefined) return false;
  const parts = new Set(
    graphs.flatMap(({ before, after }) => [...before.nodes, ...after.nodes].map(({ part }) => part)),
  );
  return html`<section>
<h2>The graph around a module, before and after</h2>
<p class="intro">Stored tensors stand in the nodes that read them. Hover over a node for its name in the file.</p>
<div class="legend">${Object.entries(PART_NAMES).map(([part, name]) => parts.has(part as ExcerptNode['part']) && html`<span><i class="part ${part}"></i>${name}</span>`)}</div>
<h3 class="name">${titleOf(first)}</h3>
${pair(first)}
${others.map((graph) => html`<details><summary>A module of another form: ${titleOf(graph)}</summary>${pair(graph)}</details>`)}
</section>`;
}

const titleOf = ({ path, adapter }: ModuleGraph): Markup =>
  html`<code>${path}</code>${adapter !== null && adapter !== 'default' && html` <span class="tag">${adapter}</span>`}`;

function pair({ path, before, after }: ModuleGraph): Markup {
  return html`<div class="graphs">${figure('before', path, before)}${figure('after', path, after)}</div>`;
}

function figure(when: 'before' | 'after', path: string, excerpt: GraphExcerpt): Markup {
  const operators = excerpt.nodes.filter(({ part }) => part !== 'value');
  return html`<figure><figcaption><b>${when === 'before' ? 'Before' : 'After'}</b> <span>${excerpt.isPart && 'more than '}${plural(operators.length, 'node')}: ${tally(operators)}</span></figcaption><div class="scroll" tabindex="0" role="group" aria-label="Graph ${when}">${graphPicture(excerpt, `Graph of ${path} ${when} the rewrite`)}</div></figure>`;
}

/** `3 MatMul, 2 Add, Div`, the most frequent first. */
function tally(operators: readonly ExcerptNode[]): string {
  const counts = new Map<string, number>();
  for (const { label } of operators) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .map(([label, count]) => (count === 1 ? label : `${count} ${label}`))
    .join(', ');
}
