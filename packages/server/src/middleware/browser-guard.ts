/**
 * Keeps web pages of other sites from using a server that trusts its network: a page whose name is made to point at
 * 127.0.0.1 (DNS rebinding) is told apart by `Host`, a cross-site request by `Origin`. Clients that are not browsers
 * send no `Origin` and the host that they connect to.
 */
import type { RequestHandler } from 'express';
import { HttpError } from '../errors.js';

export interface BrowserGuardOptions {
  /** Host names without port, lower case. Undefined: every name. */
  readonly allowedHosts: readonly string[] | undefined;
}

export const LOOPBACK_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

export function browserGuard({ allowedHosts }: BrowserGuardOptions): RequestHandler {
  const allowed = allowedHosts && new Set(allowedHosts.map((host) => host.toLowerCase()));
  return (req, _res, next) => {
    const host = req.get('host')?.toLowerCase() ?? '';
    const name = host.replace(/:\d*$/, '');
    if (allowed !== undefined && !allowed.has(name)) {
      throw new HttpError(403, `host "${name.slice(0, 100)}" is not served here (server option allowedHosts)`);
    }
    const origin = req.get('origin');
    if (origin !== undefined && originHost(origin) !== host) {
      throw new HttpError(403, 'requests from web pages of another origin are not allowed');
    }
    next();
  };
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
