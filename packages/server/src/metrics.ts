/** Prometheus metrics. The README lists them; their names and labels are an interface. */
import { type RequestHandler, Router } from 'express';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type OpenApiPaths, textContent } from './openapi.js';
import type { RunQueue } from './run-queue.js';

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export interface Metrics {
  readonly registry: Registry;
  readonly requests: Counter<'method' | 'route' | 'status'>;
  readonly requestSeconds: Histogram<'method' | 'route'>;
  readonly queueSeconds: Histogram<'model'>;
  readonly inferenceSeconds: Histogram<'model'>;
  readonly chats: Counter<'model' | 'outcome'>;
  readonly firstTokenSeconds: Histogram<'model'>;
  readonly tokenSeconds: Histogram<'model'>;
  readonly promptTokens: Counter<'model'>;
  readonly answerTokens: Counter<'model'>;
}

/** What `ort_dora_model_ready` shows. */
export interface ModelStatus {
  readonly name: string;
  readonly ready: boolean;
}

export function createMetrics(models: () => readonly ModelStatus[], queue: RunQueue): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'ort_dora_requests_running',
    help: 'Inference requests whose model is running now',
    registers,
    collect() {
      this.set(queue.running);
    },
  });
  new Gauge({
    name: 'ort_dora_requests_waiting',
    help: 'Inference requests being received or waiting for their turn',
    registers,
    collect() {
      this.set(queue.waiting);
    },
  });
  new Gauge({
    name: 'ort_dora_model_ready',
    help: '1 where the model is loaded',
    labelNames: ['model'],
    registers,
    collect() {
      for (const { name, ready } of models()) this.set({ model: name }, ready ? 1 : 0);
    },
  });
  return {
    registry,
    requests: new Counter({
      name: 'ort_dora_http_requests_total',
      help: 'Answered HTTP requests; status 499: the client went away first',
      labelNames: ['method', 'route', 'status'],
      registers,
    }),
    requestSeconds: new Histogram({
      name: 'ort_dora_http_request_duration_seconds',
      help: 'From the headers of a request to the end of its answer',
      labelNames: ['method', 'route'],
      buckets: SECONDS,
      registers,
    }),
    queueSeconds: new Histogram({
      name: 'ort_dora_queue_seconds',
      help: 'Waiting for a run to start, after the request was received and decoded',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    }),
    inferenceSeconds: new Histogram({
      name: 'ort_dora_inference_seconds',
      help: 'Running the model; of a chat, from the picture to the last token',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    }),
    chats: new Counter({
      name: 'ort_dora_chat_requests_total',
      help: 'Chat completions by how they ended: stop, length, cancelled or error',
      labelNames: ['model', 'outcome'],
      registers,
    }),
    firstTokenSeconds: new Histogram({
      name: 'ort_dora_time_to_first_token_seconds',
      help: 'From the headers of a chat request to the first text of its answer',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    }),
    tokenSeconds: new Histogram({
      name: 'ort_dora_time_per_output_token_seconds',
      help: 'Mean time of the tokens of an answer after the first',
      labelNames: ['model'],
      buckets: SECONDS,
      registers,
    }),
    promptTokens: new Counter({
      name: 'ort_dora_prompt_tokens_total',
      help: 'Tokens of the prompts of finished chats, those of pictures included',
      labelNames: ['model'],
      registers,
    }),
    answerTokens: new Counter({
      name: 'ort_dora_answer_tokens_total',
      help: 'Tokens of the answers of finished chats',
      labelNames: ['model'],
      registers,
    }),
  };
}

export function metricsRoutes({ registry }: Metrics): Router {
  const router = Router();
  router.get('/metrics', async (_req, res) => {
    res.type(registry.contentType).send(await registry.metrics());
  });
  return router;
}

export const metricsPaths: OpenApiPaths = {
  '/metrics': {
    get: {
      summary: 'Prometheus metrics',
      tags: ['Operation'],
      responses: { 200: { description: 'Text format 0.0.4', content: textContent } },
    },
  },
};

/** Counts and times every request by its route pattern, so that the number of label values is bounded. */
export function measureRequests({ requests, requestSeconds }: Metrics): RequestHandler {
  return (req, res, next) => {
    const since = performance.now();
    res.once('close', () => {
      const method = METHODS.has(req.method) ? req.method : 'other';
      const route = routeOf(req.route?.path, req.path);
      const status = res.writableFinished ? res.statusCode : 499;
      requests.inc({ method, route, status });
      requestSeconds.observe({ method, route }, (performance.now() - since) / 1000);
    });
    next();
  };
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']);

/** A handler of several patterns (with and without a version) is told apart by what was asked for. */
function routeOf(pattern: unknown, path: string): string {
  if (typeof pattern === 'string') return pattern;
  if (!Array.isArray(pattern)) return 'unmatched';
  return pattern.find((candidate: string) => candidate.split('/').length === path.split('/').length) ?? pattern[0];
}
