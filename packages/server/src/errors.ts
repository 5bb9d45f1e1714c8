/** Errors of the server: what a client is told (HttpError), and what the person who starts it is told (ServerError). */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import type { Logger } from 'pino';

/** A failed request: the status and the message are sent to the client as they are. */
export class HttpError extends Error {
  override readonly name: string = 'HttpError';

  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export type ServerErrorCode =
  | 'INVALID_OPTIONS'
  | 'NO_MODELS'
  | 'MODEL_FAILED'
  | 'PORT_IN_USE'
  | 'LISTEN_FAILED'
  | 'CLOSED';

/** The server could not be constructed or started. `code` is stable; the message says what to change. */
export class ServerError extends Error {
  override readonly name = 'ServerError';

  constructor(
    readonly code: ServerErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Shapes a failure as the protocol of one route group wants it, e.g. `{"error": "…"}` for KServe. */
export type ErrorBody = (error: HttpError) => unknown;

export const plainErrorBody: ErrorBody = ({ message }) => ({ error: message });

export const notFound: RequestHandler = (req) => {
  throw new HttpError(404, `no route ${req.method} ${req.path}; GET / lists the endpoints`);
};

/**
 * Turns whatever a handler threw into a response. Only the message of an HttpError reaches the client;
 * anything else is a defect: it is logged with its stack and answered by a bare 500.
 */
export function errorHandler(logger: Logger, body: ErrorBody): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    const failure = toHttpError(error);
    if (failure !== error || failure.cause !== undefined) {
      logger[failure.status >= 500 ? 'error' : 'debug']({ err: error, requestId: req.id }, 'request failed');
    }
    if (res.headersSent) {
      // An answer that has ended has told the client what happened; any other is cut off, so that it is not taken for whole.
      if (!res.writableEnded) res.destroy();
      return;
    }
    res.status(failure.status).set(failure.headers).json(body(failure));
  };
}

export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  // Express itself reports undecodable paths ("/%ff") as errors that carry a 4xx status.
  const status = (error as { status?: unknown } | null)?.status;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new HttpError(status, 'the request line cannot be decoded');
  }
  return new HttpError(500, 'internal error; the server log has the details under this request id');
}
