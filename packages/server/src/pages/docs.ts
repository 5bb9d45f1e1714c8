/** /docs: the OpenAPI document as a plain page. */
import { Router } from 'express';
import type { OpenApiDocument, Operation } from '../openapi.js';
import { type Html, html, sendPage } from './html.js';

export function docsPage(document: OpenApiDocument): Router {
  const router = Router();
  router.get('/docs', (_req, res) => {
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => operationSection(method, path, operation)),
    );
    sendPage(
      res,
      'ort-dora: API',
      html`<h1>${document.info.title} ${document.info.version}</h1>
<p class="quiet">The same for programs: <a href="/openapi.json">/openapi.json</a></p>
${operations}`,
    );
  });
  return router;
}

function operationSection(
  method: string,
  path: string,
  { summary, parameters, requestBody, responses }: Operation,
): Html {
  const rows = Object.entries(responses).map(
    ([status, { description }]) => html`<tr><td><code>${status}</code></td><td>${description}</td></tr>`,
  );
  return html`<h2><code>${method.toUpperCase()} ${path}</code></h2>
<p>${summary}</p>
${parameters === undefined ? '' : details('Parameters', parameters)}
${requestBody === undefined ? '' : details('Request body', requestBody)}
<table>${rows}</table>
${details('Answer', responses[200]?.content ?? {})}`;
}

function details(title: string, value: object): Html {
  return html`<details><summary>${title}</summary><pre>${JSON.stringify(value, null, 2)}</pre></details>`;
}
