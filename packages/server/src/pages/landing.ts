/** /: the playground where there are chat models, what is served here, and how to call it. */
import { Router } from 'express';
import { exampleCurl } from '../kserve/example.js';
import type { ChatModel, ChatModels } from '../models/chat-models.js';
import type { ServedModel, TensorSpec } from '../models/model.js';
import type { ModelRepository } from '../models/repository.js';
import { exampleChatCurl } from '../openai/example.js';
import type { OpenApiDocument } from '../openapi.js';
import { playground, playgroundAssets } from '../playground/page.js';
import { type Html, html, sendPage } from './html.js';

export function landingPage(models: ModelRepository, chat: ChatModels, document: OpenApiDocument): Router {
  const router = Router();
  router.get('/', (req, res) => {
    const url = `http://${req.get('host') ?? 'localhost'}`;
    const endpoints = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(
        ([method, { summary }]) =>
          html`<tr><td><code>${method.toUpperCase()} ${path}</code></td><td>${summary}</td></tr>`,
      ),
    );
    const chatModels = chat.list();
    const canChat = chatModels.length > 0;
    sendPage(
      res,
      'ort-dora',
      html`<h1>ort-dora</h1>
<p class="quiet">Serves ONNX exports of DoRA-adapted models. API: <a href="/docs">/docs</a>, <a href="/openapi.json">/openapi.json</a></p>
${canChat ? playground(chatModels) : ''}
<h2>Models</h2>
${chatModels.map((model) => chatSection(url, model))}
${models.list().map((model) => modelSection(url, model))}
<h2>Endpoints</h2>
<table>${endpoints}</table>`,
      canChat ? playgroundAssets : undefined,
    );
  });
  return router;
}

function chatSection(url: string, { name, state }: ChatModel): Html {
  if (state.status !== 'ready') return html`<h3>${name}</h3><p>${state.status}</p>`;
  return html`<h3>${name}</h3>
<p>Ask it about a white picture:</p>
<pre>${exampleChatCurl(url, name)}</pre>
`;
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
