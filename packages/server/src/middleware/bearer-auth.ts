/** Asks for `Authorization: Bearer <key>`; keys are compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler } from 'express';
import { HttpError } from '../errors.js';

export interface BearerAuthOptions {
  readonly apiKey: string;
  /** Paths that need no key. */
  readonly exempt: ReadonlySet<string>;
}

export function bearerAuth({ apiKey, exempt }: BearerAuthOptions): RequestHandler {
  // Digests have one length, whatever a client sends.
  const expected = digest(apiKey);
  return (req, _res, next) => {
    if (!exempt.has(req.path)) {
      const given = /^Bearer +(\S+)$/i.exec(req.get('authorization') ?? '')?.[1];
      if (given === undefined || !timingSafeEqual(digest(given), expected)) {
        throw new HttpError(401, 'a valid key is needed: Authorization: Bearer <key>', {
          'WWW-Authenticate': 'Bearer',
        });
      }
    }
    next();
  };
}

function digest(value: string): Buffer {
  return createHash('sha256').update(value).digest();
}
