/** /: ask the chat models about a picture. One page, with its own style and script and nothing from elsewhere. */
import { readFileSync } from 'node:fs';
import type { ChatModel } from '../models/chat-models.js';
import { type Html, html, type PageAssets } from '../pages/html.js';

// Beside src and dist alike.
const asset = (name: string) => readFileSync(new URL(`../../assets/${name}`, import.meta.url), 'utf8');

export const playgroundAssets: PageAssets = {
  style: asset('playground.css'),
  script: asset('playground.js'),
};

/** The form and the list that answers come into; works with `playgroundAssets` only. */
export function playground(models: readonly ChatModel[]): Html {
  return html`<form class="playground">
<div class="picture">
<input id="file" type="file" accept="image/png,image/jpeg,image/webp,image/gif" aria-label="Picture">
<img alt="" hidden>
<span class="hint" aria-hidden="true"><strong>Choose a picture</strong> or drop or paste one here</span>
</div>
<div class="fields">
<div class="field"><label for="model">Model</label>
<select id="model">${models.map(({ name }) => html`<option>${name}</option>`)}</select></div>
<div class="field"><label for="question">Question</label>
<textarea id="question" rows="3" maxlength="4000" required placeholder="How many circles are there?"></textarea></div>
<div class="buttons"><button type="submit">Ask</button><button id="stop" type="button" disabled>Stop</button></div>
<p class="spoken" role="status"></p>
<ol class="answers" reversed aria-label="Answers"></ol>
</div>
</form>
<noscript><p>The form needs JavaScript; the curl lines below do not.</p></noscript>`;
}
