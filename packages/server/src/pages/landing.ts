/** /: what is served here, and how to call it. */
import { Router } from 'express';
import { exampleCurl } from '../kserve/example.js';
import type { ServedModel, TensorSpec } from '../models/model.js';
import type { ModelRepository } from '../models/repository.js';
import type { OpenApiDocument } from '../openapi.js';
import { type Html, html, sendPage } from './html.js';

export function landingPage(models: ModelRepository, document: OpenApiDocument): Router {
  const router = Router();
  router.get('/', (req, res) => {
    const url = `http://${req.get('host') ?? 'localhost'}`;
    const endpoints = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(
        ([method, { summary }]) =>
          html`<tr><td><code>${method.toUpperCase()} ${path}</code></td><td>${summary}</td></tr>`,
      ),
    );
    sendPage(
      res,
      'ort-dora',
      html`<h1>ort-dora</h1>
<p class="quiet">Serves ONNX exports of DoRA-adapted models. API: <a href="/docs">/docs</a>, <a href="/openapi.json">/openapi.json</a></p>
<h2>Models</h2>
${models.list().map((model) => modelSection(url, model))}
<h2>Endpoints</h2>
<table>${endpoints}</table>`,
    );
  });
  return router;
}

function modelSection(url: string, { name, state }: ServedModel): Html {
  if (state.status !== 'ready') return html`<h3>${name}</h3><p>${state.status}</p>`;
  const { inputs, outputs } = state.loaded;
  return html`<h3>${name}</h3>
<table>${inputs.map((spec) => tensorRow('input', spec))}${outputs.map((spec) => tensorRow('output', spec))}</table>
<p>Run it on zeros:</p>
<pre>${exampleCurl(url, name, state.loaded)}</pre>
`;
}

function tensorRow(kind: string, { name, type, shape }: TensorSpec): Html {
  return html`<tr><td>${kind}</td><td><code>${name}</code></td><td>${type} [${shape.map((length) => length || '?').join(', ')}]</td></tr>`;
}
