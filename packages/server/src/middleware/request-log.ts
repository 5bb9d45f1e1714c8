/** One line a request, when it is over: no bodies, no headers, no query strings. Probes are logged at debug level. */
import type { RequestHandler } from 'express';
import type { Logger } from 'pino';

const PROBES: ReadonlySet<string> = new Set(['/livez', '/readyz', '/metrics', '/v2/health/live', '/v2/health/ready']);

export function requestLog(logger: Logger): RequestHandler {
  return (req, res, next) => {
    const since = performance.now();
    const { method, path } = req;
    res.once('close', () => {
      const status = res.writableFinished ? res.statusCode : 499;
      const level = PROBES.has(path) ? 'debug' : 'info';
      const ms = Math.round((performance.now() - since) * 1000) / 1000;
      logger[level]({ requestId: req.id, method, path: path.slice(0, 256), status, ms }, 'request');
    });
    next();
  };
}
