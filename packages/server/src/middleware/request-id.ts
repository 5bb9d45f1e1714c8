/** Gives every request an id: the client's `x-request-id` where it is sane, else a new one. It is sent back and logged. */
import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';

declare module 'express-serve-static-core' {
  interface Request {
    id: string;
  }
}

const SANE = /^[A-Za-z0-9._:-]{1,128}$/;

export function requestId(): RequestHandler {
  return (req, res, next) => {
    const given = req.get('x-request-id');
    req.id = given !== undefined && SANE.test(given) ? given : randomUUID();
    res.set('X-Request-Id', req.id);
    next();
  };
}
