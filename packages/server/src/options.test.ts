import { describe, expect, it } from 'vitest';
import { resolveOptions, type ServerOptions } from './options.js';

describe('resolveOptions', () => {
  it('binds to loopback by default', () => {
    expect(resolveOptions({ models: 'm' })).toMatchObject({ host: '127.0.0.1', port: 8080, maxConcurrentRuns: 2 });
  });

  it('keeps the JSON limit within the body limit', () => {
    expect(resolveOptions({ models: 'm', maxBodyBytes: 4096 }).maxJsonBytes).toBe(4096);
  });

  it.each<[string, object, string]>([
    ['no models', {}, 'server option models'],
    ['an unknown option', { models: 'm', prot: 1 }, 'prot'],
    ['a port out of range', { models: 'm', port: 70000 }, 'server option port'],
    ['a range of ports from 0', { models: 'm', port: { from: 0, attempts: 2 } }, 'server option port'],
    ['a short key', { models: 'm', apiKey: 'short' }, 'apiKey: must have at least 8 characters'],
    ['a key that no header carries', { models: 'm', apiKey: 'ключ-ключ-ключ' }, 'apiKey: must be printable ASCII'],
    ['no runs', { models: 'm', maxConcurrentRuns: 0 }, 'maxConcurrentRuns'],
    ['a logger that is none', { models: 'm', logger: {} }, 'logger'],
  ])('refuses %s', (_what, options, message) => {
    expect(() => resolveOptions(options as ServerOptions)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
    expect(() => resolveOptions(options as ServerOptions)).toThrow(message);
  });
});
