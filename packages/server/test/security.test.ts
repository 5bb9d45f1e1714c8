import { beforeAll, describe, expect, it } from 'vitest';
import type { OrtDoraServer } from '../src/index.js';
import { infer, send, start } from './support/server.js';

const KEY = 'correct-horse-battery';
const x = { inputs: [{ name: 'x', shape: [1, 3], datatype: 'FP32', data: [1, 2, 3] }] };

let open: OrtDoraServer;
let locked: OrtDoraServer;
beforeAll(async () => {
  open = await start();
  locked = await start({ apiKey: KEY });
});

describe('with a key', () => {
  it.each(['/livez', '/readyz', '/v2/health/live', '/v2/health/ready'])('%s answers without it', async (path) => {
    expect((await send(locked.url, path)).status).toBe(200);
  });

  it.each([
    '/',
    '/docs',
    '/openapi.json',
    '/metrics',
    '/v2',
    '/v2/models/gather',
    '/nope',
    '/livez/',
    '/LIVEZ',
    '//livez',
  ])('%s does not', async (path) => {
    const answer = await send(locked.url, path);
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([401, 'Bearer']);
  });

  it.each([
    ['none', undefined, 401],
    ['another', 'Bearer correct-horse-batterz', 401],
    ['a longer one', `Bearer ${KEY}x`, 401],
    ['an empty one', 'Bearer ', 401],
    ['another scheme', `Basic ${KEY}`, 401],
    ['the key alone', KEY, 401],
    ['the key', `Bearer ${KEY}`, 200],
    ['the key, scheme in lower case', `bearer ${KEY}`, 200],
  ])('%s is answered by %i', async (_what, authorization, status) => {
    const answer = await infer(
      locked.url,
      'identity.fp32',
      x,
      authorization === undefined ? {} : { headers: { Authorization: authorization } },
    );
    expect(answer.status).toBe(status);
  });
});

describe('a browser on another site', () => {
  it.each([
    ['a name that points here', { Host: 'evil.example' }, 403],
    ['a name that points here, with a port', { Host: 'evil.example:8080' }, 403],
    ['a page of another origin', { Origin: 'https://evil.example' }, 403],
    ['a page without an origin', { Origin: 'null' }, 403],
    ['another port of this machine', { Origin: 'http://127.0.0.1:1' }, 403],
    ['localhost', { Host: 'localhost' }, 200],
    ['IPv6 loopback', { Host: '[::1]:80' }, 200],
  ])('%s', async (_what, headers, status) => {
    expect((await infer(open.url, 'identity.fp32', x, { headers })).status).toBe(status);
  });

  it('the page of this server itself', async () => {
    expect((await infer(open.url, 'identity.fp32', x, { headers: { Origin: open.url } })).status).toBe(200);
  });

  it('names that are allowed', async () => {
    const named = await start({ allowedHosts: ['models.example'] });
    expect((await send(named.url, '/livez', { headers: { Host: 'Models.Example:80' } })).status).toBe(200);
    expect((await send(named.url, '/livez')).status).toBe(403);
  });
});

describe('every answer', () => {
  it.each(['/', '/v2', '/nope', '/livez'])('%s carries the security headers and tells no software', async (path) => {
    const { headers } = await send(open.url, path);
    expect(headers).toMatchObject({
      'content-security-policy': expect.stringContaining("default-src 'none'"),
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
    expect(headers['x-powered-by']).toBeUndefined();
  });

  it.each([
    ['sane', 'a.b:c-d_1', true],
    ['too long', 'a'.repeat(129), false],
    ['with spaces', 'a b', false],
    ['with markup', '<script>', false],
  ])('has a request id: the one given where it is %s', async (_what, id, kept) => {
    const { headers } = await send(open.url, '/livez', { headers: { 'X-Request-Id': id } });
    if (kept) expect(headers['x-request-id']).toBe(id);
    else expect(headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
  });
});
