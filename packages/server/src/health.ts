/** Liveness and readiness, for probes. */
import { Router } from 'express';
import { type OpenApiPaths, textContent } from './openapi.js';

export class Health {
  readonly #loaded: () => boolean;
  #draining = false;

  /** @param loaded whether loading is over and there is something to serve */
  constructor(loaded: () => boolean) {
    this.#loaded = loaded;
  }

  /** Models are loaded and the server is not shutting down. */
  get ready(): boolean {
    return !this.#draining && this.#loaded();
  }

  get draining(): boolean {
    return this.#draining;
  }

  drain(): void {
    this.#draining = true;
  }
}

export function healthRoutes(health: Health): Router {
  const router = Router();
  router.get('/livez', (_req, res) => {
    res.type('text/plain').send('ok\n');
  });
  router.get('/readyz', (_req, res) => {
    const reason = health.draining ? 'draining' : 'loading';
    if (health.ready) res.type('text/plain').send('ok\n');
    else res.status(503).type('text/plain').send(`${reason}\n`);
  });
  return router;
}

export const healthPaths: OpenApiPaths = {
  '/livez': {
    get: {
      summary: 'Liveness probe',
      tags: ['Operation'],
      security: [],
      responses: { 200: { description: 'The process answers', content: textContent } },
    },
  },
  '/readyz': {
    get: {
      summary: 'Readiness probe',
      tags: ['Operation'],
      security: [],
      responses: {
        200: { description: 'Requests are served', content: textContent },
        503: { description: 'Loading or draining', content: textContent },
      },
    },
  },
};
