/** Puts the parts together: options in, a server out that loads its models, listens, and drains when closed. */
import { createServer as createHttpServer, type Server } from 'node:http';
import express, { type Express } from 'express';
import { errorHandler, HttpError, notFound, plainErrorBody, ServerError } from './errors.js';
import { Health, healthPaths, healthRoutes } from './health.js';
import { exampleCurl } from './kserve/example.js';
import { kservePaths } from './kserve/openapi.js';
import { kserve } from './kserve/routes.js';
import { listen, urlOf } from './listen.js';
import { createMetrics, type Metrics, measureRequests, metricsPaths, metricsRoutes } from './metrics.js';
import { bearerAuth } from './middleware/bearer-auth.js';
import { browserGuard, isLoopback, LOOPBACK_HOSTS } from './middleware/browser-guard.js';
import { requestId } from './middleware/request-id.js';
import { requestLog } from './middleware/request-log.js';
import { securityHeaders } from './middleware/security-headers.js';
import { ChatModels } from './models/chat-models.js';
import { type DiscoveredModels, discoverModels } from './models/discovery.js';
import { ModelRepository } from './models/repository.js';
import { openAiErrorBody } from './openai/errors.js';
import { exampleChatCurl } from './openai/example.js';
import { openAiPaths } from './openai/openapi.js';
import { openAi } from './openai/routes.js';
import { openApiDocument, openApiRoutes } from './openapi.js';
import { type ResolvedOptions, resolveOptions, type ServerOptions } from './options.js';
import { docsPage } from './pages/docs.js';
import { landingPage } from './pages/landing.js';
import { RunQueue } from './run-queue.js';

export interface OrtDoraServer {
  /** The Express application, for tests and for mounting it elsewhere. */
  readonly app: Express;
  /** Where the server listens. Throws before `start`. */
  readonly url: string;
  /**
   * Listens, then loads the models: probes are answered meanwhile (`/readyz` 503). Resolves when everything is served.
   * Throws ServerError PORT_IN_USE, LISTEN_FAILED, MODEL_FAILED, or CLOSED where `close` came first; nothing is left open then.
   */
  start(): Promise<void>;
  /** A curl line for every loaded model, which runs it on zeros, or asks it about a white picture. Throws before `start`. */
  examples(): readonly { readonly model: string; readonly curl: string }[];
  /**
   * Drains: not ready any more, no new work (503), running and waiting requests are finished, those that are not after
   * `drainTimeoutMs` are aborted. Then everything is closed and freed. Idempotent.
   */
  close(): Promise<void>;
}

/** Checks the options and finds the models; opens nothing yet. Throws ServerError INVALID_OPTIONS or NO_MODELS. */
export function createServer(options: ServerOptions): OrtDoraServer {
  const resolved = resolveOptions(options);
  return new ModelServer(resolved, discoverModels(resolved.models));
}

/** `createServer` and `start` in one. */
export async function startServer(options: ServerOptions): Promise<OrtDoraServer> {
  const server = createServer(options);
  await server.start();
  return server;
}

class ModelServer implements OrtDoraServer {
  readonly app: Express;
  readonly #options: ResolvedOptions;
  readonly #models: ModelRepository;
  readonly #chat: ChatModels;
  readonly #queue: RunQueue;
  readonly #health: Health;
  readonly #http: Server;
  #url: string | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: ResolvedOptions, { files, chat: variants }: DiscoveredModels) {
    const models = new ModelRepository(files);
    const chat = new ChatModels(variants);
    const statuses = () =>
      [...models.list(), ...chat.list()].map(({ name, state }) => ({ name, ready: state.status === 'ready' }));
    this.#options = options;
    this.#models = models;
    this.#chat = chat;
    this.#queue = new RunQueue(options);
    this.#health = new Health(() => models.loaded && chat.loaded && statuses().some(({ ready }) => ready));
    const metrics = createMetrics(statuses, this.#queue);
    this.app = createApp({ options, models, chat, queue: this.#queue, health: this.#health, metrics });
    this.#http = createHttpServerFor(this.app, options);
  }

  get url(): string {
    if (this.#url === undefined) throw new Error('the server is not listening; call start() first');
    return this.#url;
  }

  async start(): Promise<void> {
    const { host, port, logger, apiKey } = this.#options;
    if (this.#closing !== undefined) throw new ServerError('CLOSED', 'the server is closed; create another one');
    const address = await listen(this.#http, host, port);
    this.#url = urlOf(address);
    logger.info({ url: this.#url }, 'listening');
    if (!isLoopback(host) && apiKey === undefined) {
      logger.warn({ host }, 'anyone who can reach this address can use the server: no apiKey is set');
    }
    try {
      await this.#models.load(this.#options);
      await this.#chat.load(this.#options);
      if (this.#closing !== undefined) throw new ServerError('CLOSED', 'the server was closed while it was starting');
      if (!this.#health.ready) throw new ServerError('MODEL_FAILED', 'cannot load any model; the log says why');
    } catch (error) {
      await this.close();
      // A close that came while the port was being bound has not seen it open.
      await closeHttp(this.#http);
      throw error;
    }
    const names = [...this.#models.list(), ...this.#chat.list()].map(({ name }) => name);
    logger.info({ url: this.#url, models: names }, 'ready');
  }

  examples(): readonly { readonly model: string; readonly curl: string }[] {
    const single = this.#models.list().flatMap(({ name, state }) => {
      return state.status === 'ready' ? [{ model: name, curl: exampleCurl(this.url, name, state.loaded) }] : [];
    });
    const chat = this.#chat.list().flatMap(({ name, state }) => {
      return state.status === 'ready' ? [{ model: name, curl: exampleChatCurl(this.url, name) }] : [];
    });
    return [...single, ...chat];
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    const { logger, drainTimeoutMs } = this.#options;
    this.#health.drain();
    this.#queue.close();
    logger.info({ running: this.#queue.running, waiting: this.#queue.waiting }, 'draining');
    const deadline = setTimeout(() => {
      logger.warn({ running: this.#queue.running, waiting: this.#queue.waiting }, 'drain deadline passed; aborting');
      this.#queue.abortAll(
        new HttpError(503, 'the server has shut down before the request was done', { Connection: 'close' }),
      );
    }, drainTimeoutMs);
    await this.#queue.idle();
    clearTimeout(deadline);
    await closeHttp(this.#http);
    await Promise.all([this.#models.dispose(), this.#chat.dispose()]);
    logger.info('closed');
  }
}

interface AppParts {
  readonly options: ResolvedOptions;
  readonly models: ModelRepository;
  readonly chat: ChatModels;
  readonly queue: RunQueue;
  readonly health: Health;
  readonly metrics: Metrics;
}

/** A further protocol is one more router with its paths and its own shape of errors, mounted beside `kserve`. */
function createApp({ options, models, chat, queue, health, metrics }: AppParts): Express {
  const { logger, apiKey } = options;
  const document = openApiDocument([openAiPaths, kservePaths, healthPaths, metricsPaths], {
    bearer: apiKey !== undefined,
  });
  const app = express();
  app.disable('x-powered-by').disable('etag').enable('case sensitive routing');

  app.use(requestId(), requestLog(logger), measureRequests(metrics), securityHeaders());
  app.use(browserGuard({ allowedHosts: allowedHosts(options) }));
  if (apiKey !== undefined) app.use(bearerAuth({ apiKey, exempt: PROBES }));

  app.use(healthRoutes(health));
  app.use(metricsRoutes(metrics));
  app.use(openAi({ ...options, chat, queue, metrics }));
  app.use(kserve({ ...options, models, queue, health, metrics }));
  app.use(openApiRoutes(document));
  app.use(docsPage(document));
  app.use(landingPage(models, chat, document));
  app.use(notFound);
  app.use('/v1', errorHandler(logger, openAiErrorBody));
  app.use(errorHandler(logger, plainErrorBody));
  return app;
}

/** Answered without a key: orchestrators have none. */
const PROBES: ReadonlySet<string> = new Set(['/livez', '/readyz', '/v2/health/live', '/v2/health/ready']);

function allowedHosts({ allowedHosts, host }: ResolvedOptions): readonly string[] | undefined {
  return allowedHosts ?? (isLoopback(host) ? LOOPBACK_HOSTS : undefined);
}

function createHttpServerFor(app: Express, options: ResolvedOptions): Server {
  const { headersTimeoutMs, requestTimeoutMs, maxConnections } = options;
  const server = createHttpServer({
    headersTimeout: Math.min(headersTimeoutMs, requestTimeoutMs),
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.max(100, Math.min(5000, headersTimeoutMs / 2)),
    // Longer than the idle time of common proxies, so that they, not this server, close idle connections.
    keepAliveTimeout: 75_000,
  });
  server.maxConnections = maxConnections;
  server.on('request', app);
  // The body is asked for only when the request has been accepted (readBody), so that a refusal costs no upload.
  server.on('checkContinue', app);
  return server;
}

async function closeHttp(server: Server): Promise<void> {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // Answers are written; what is still open after a moment is a client that does not read or does not hang up.
    setTimeout(() => server.closeAllConnections(), 1000).unref();
  });
}
