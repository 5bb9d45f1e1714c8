/** The routes of the Open Inference Protocol v2 (KServe) with the binary tensor extension. */
import { RuntimeError } from '@ort-dora/runtime';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import { readBody } from '../body.js';
import { HttpError } from '../errors.js';
import type { Health } from '../health.js';
import type { Metrics } from '../metrics.js';
import type { LoadedModel, ServedModel } from '../models/model.js';
import type { ModelRepository } from '../models/repository.js';
import type { RunQueue, RunTicket } from '../run-queue.js';
import { describeModel, describeRepository, describeServer, MODEL_VERSION } from './metadata.js';
import { parseBody, parseHeaderLength, prepareInference } from './request.js';
import { sendInference } from './response.js';
import { repositoryIndexRequest } from './schema.js';

export interface KServeOptions {
  readonly models: ModelRepository;
  readonly queue: RunQueue;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly maxBodyBytes: number;
  readonly maxJsonBytes: number;
  readonly sendTimeoutMs: number;
}

/** Failures are thrown as HttpError; the caller mounts an error handler behind this router. */
export function kserve(options: KServeOptions): Router {
  const { models, health } = options;
  const router = Router({ caseSensitive: true });

  router.get('/v2', (_req, res) => {
    res.json(describeServer());
  });
  router.get('/v2/health/live', (_req, res) => {
    res.json({ live: true });
  });
  router.get('/v2/health/ready', (_req, res) => {
    res.status(health.ready ? 200 : 503).json({ ready: health.ready });
  });

  router.get(['/v2/models/:model', '/v2/models/:model/versions/:version'], (req, res) => {
    const model = findModel(models, req);
    res.json(describeModel(model) ?? unavailable(model));
  });
  router.get(['/v2/models/:model/ready', '/v2/models/:model/versions/:version/ready'], (req, res) => {
    const { name, state } = findModel(models, req);
    const ready = state.status === 'ready' && !health.draining;
    res.status(ready ? 200 : 503).json({ name, ready });
  });
  router.post(['/v2/models/:model/infer', '/v2/models/:model/versions/:version/infer'], infer(options));
  router.post('/v2/repository/index', repositoryIndexHandler(options));
  return router;
}

function findModel(models: ModelRepository, req: Request): ServedModel {
  const { model: name, version } = req.params as { model: string; version?: string };
  const model = models.get(name);
  if (model === undefined) {
    const known = models.list().map((other) => `"${other.name}"`);
    throw new HttpError(404, `unknown model "${name}"; this server has ${known.join(', ')}`);
  }
  if (version !== undefined && version !== MODEL_VERSION) {
    throw new HttpError(404, `model "${name}" has no version "${version}"; its only version is "${MODEL_VERSION}"`);
  }
  return model;
}

function unavailable({ name, state }: ServedModel): never {
  if (state.status === 'loading') throw new HttpError(503, `model "${name}" is still loading`, { 'Retry-After': '1' });
  throw new HttpError(503, `model "${name}" is not available; the server log says why`);
}

function loadedModel(model: ServedModel): LoadedModel {
  return model.state.status === 'ready' ? model.state.loaded : unavailable(model);
}

function infer(options: KServeOptions): RequestHandler {
  return async (req, res) => {
    const model = findModel(options.models, req);
    const loaded = loadedModel(model);
    const ticket = options.queue.admit();
    const onClose = () => {
      if (!res.writableFinished) ticket.abort(new HttpError(499, 'the client closed the connection'));
    };
    res.once('close', onClose);
    try {
      await inferWithTicket(options, model.name, loaded, ticket, req, res);
    } finally {
      res.off('close', onClose);
      ticket.release();
    }
  };
}

async function inferWithTicket(
  { metrics, maxBodyBytes, maxJsonBytes, sendTimeoutMs }: KServeOptions,
  name: string,
  model: LoadedModel,
  ticket: RunTicket,
  req: Request,
  res: Response,
): Promise<void> {
  const { signal } = ticket;
  const headerLength = parseHeaderLength(req.get('inference-header-content-length'));
  const body = await readBody(req, res, { limit: maxBodyBytes, alignedOffset: headerLength ?? 0, signal });
  const parsed = parseBody(body, headerLength, maxJsonBytes);
  const inference = prepareInference(model, parsed);
  const stopTimer = startTimeout(ticket, parsed.request.parameters?.timeout);
  try {
    metrics.queueSeconds.observe({ model: name }, await ticket.turn());
    const endRun = metrics.inferenceSeconds.startTimer({ model: name });
    const fetches = inference.outputs.map(({ spec }) => spec.name);
    const results = await model.run(inference.feeds, { fetches, signal }).catch(asHttpError).finally(endRun);
    ticket.endRun();
    res.setTimeout(sendTimeoutMs, () => res.destroy());
    await sendInference(res, { modelName: name, modelVersion: MODEL_VERSION }, inference, results, signal);
  } finally {
    stopTimer();
  }
}

/** Triton's `timeout` parameter, in microseconds. */
function startTimeout(ticket: RunTicket, microseconds: number | undefined): () => void {
  if (microseconds === undefined) return () => {};
  const expired = () => ticket.abort(new HttpError(503, `the request's timeout of ${microseconds} µs has expired`));
  const timer = setTimeout(expired, Math.min(microseconds / 1000, 2 ** 31 - 1));
  return () => clearTimeout(timer);
}

/**
 * What ONNX Runtime refuses of a request that fits the model's signature lies in its values or in how its lengths combine
 * (an index beyond a table, a mask of another length), which only the client can change: 400. A failed allocation is not.
 */
function asHttpError(error: unknown): never {
  if (!(error instanceof RuntimeError)) throw error;
  const clientsFault =
    error.code === 'INVALID_ARGUMENT' || (error.code === 'RUN_FAILED' && !/alloc/i.test(error.message));
  if (clientsFault)
    throw new HttpError(400, `the model cannot run on these inputs: ${error.message}`, {}, { cause: error });
  if (error.code === 'RUN_FAILED')
    throw new HttpError(503, 'not enough memory for a run of this size', {}, { cause: error });
  throw error;
}

function repositoryIndexHandler({ models }: KServeOptions): RequestHandler {
  return async (req, res) => {
    const body = await readBody(req, res, { limit: INDEX_BODY_BYTES });
    res.json(describeRepository(models.list(), parseIndexRequest(body).ready ?? false));
  };
}

const INDEX_BODY_BYTES = 4096;

/** Clients send an empty body as well as an empty object. */
function parseIndexRequest(body: Uint8Array): { ready?: boolean | undefined } {
  if (body.length === 0) return {};
  try {
    return repositoryIndexRequest.parse(JSON.parse(new TextDecoder().decode(body)));
  } catch {
    throw new HttpError(400, 'expected an empty body or a JSON object such as {"ready": true}');
  }
}
