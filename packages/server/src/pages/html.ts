/** HTML with every interpolated value escaped, and the frame of the server's own pages: nothing from elsewhere. */
import { createHash } from 'node:crypto';
import type { Response } from 'express';

/** Markup that needs no escaping any more. */
export class Html {
  constructor(readonly text: string) {}
}

type Part = string | number | Html | readonly Html[];

export function html(strings: TemplateStringsArray, ...parts: Part[]): Html {
  return new Html(String.raw({ raw: strings }, ...parts.map(render)));
}

function render(part: Part): string {
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(({ text }) => text).join('');
  return String(part).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #8886; }
h3 { font-size: 1rem; margin-top: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8883; }
td:last-child { width: 99%; } td { white-space: nowrap; } td:last-child { white-space: normal; }
code, pre { font: .85rem/1.45 ui-monospace, monospace; }
pre { background: #8881; padding: .7rem; border-radius: .4rem; overflow-x: auto; white-space: pre-wrap; word-break: break-all; }
details { margin: .4rem 0; } summary { cursor: pointer; }
.quiet { opacity: .7; }
`;

export interface PageAssets {
  readonly style: string;
  /** Classic, run when the page has been read. Default: none, and no script may run. */
  readonly script?: string;
}

export function sendPage(
  res: Response,
  title: string,
  body: Html,
  { style, script }: PageAssets = { style: STYLE },
): void {
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>${new Html(style)}</style>
</head>
<body>
${body}
${script === undefined ? '' : html`<script>${new Html(script)}</script>`}
</body>
</html>
`;
  const policy = [`default-src 'none'`, `style-src '${hashOf(style)}'`, `frame-ancestors 'none'`];
  // A script of ours may call this server and show the pictures that a person chose.
  if (script !== undefined) policy.push(`script-src '${hashOf(script)}'`, `connect-src 'self'`, 'img-src blob:');
  res.set('Content-Security-Policy', [...policy, `base-uri 'none'`, `form-action 'none'`].join('; '));
  res.type('html').send(page.text);
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
