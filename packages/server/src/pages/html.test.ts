import { expect, it } from 'vitest';
import { html } from './html.js';

it('escapes what is put in, but not markup', () => {
  const name = `<script>"a" & 'b'`;
  expect(html`<td title="${name}">${[html`<b>${name}</b>`, html`<i>${1}</i>`]}</td>`.text).toBe(
    '<td title="&#60;script&#62;&#34;a&#34; &#38; &#39;b&#39;"><b>&#60;script&#62;&#34;a&#34; &#38; &#39;b&#39;</b><i>1</i></td>',
  );
});
