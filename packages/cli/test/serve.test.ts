/** `ort-dora serve` in this process: announced, answering, and stopped by the signal. */

import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../src/program.js';
import { ortDora, samples } from './support/program.js';

const model = join(samples, 'c05_linear_bias_dynamo_640');

/** Starts the command; resolves with the first line on stdout. */
function serve(...argv: string[]) {
  const stop = new AbortController();
  let announce: (line: string) => void;
  const line = new Promise<string>((resolve) => {
    announce = resolve;
  });
  const err: string[] = [];
  const ended = run(['serve', ...argv], {
    stdout: { write: (text) => announce(text) },
    stderr: { write: (text) => err.push(text) },
    signal: stop.signal,
  });
  return { line, ended, stop: () => stop.abort(), stderr: () => err.join('') };
}

test('answers where it says it does, and ends with 0 when stopped', async () => {
  const server = serve(model, '--port', '0', '--json');
  const { url } = JSON.parse(await server.line);
  expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect((await fetch(`${url}/v2/health/ready`)).status).toBe(200);
  server.stop();
  expect(await server.ended).toBe(0);
  await expect(fetch(`${url}/livez`)).rejects.toThrow();
});

test('a port that is taken: the next free one if asked, else one line and exit code 1', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  try {
    const refused = await ortDora('serve', model, '--port', String(port));
    expect(refused.code).toBe(1);
    expect(refused.stderr.trimEnd().split('\n').at(-1)).toMatch(new RegExp(`^ort-dora: .*${port}`));
    const server = serve(model, '--port', String(port), '--next-free-port', '--json');
    expect(Number(new URL(JSON.parse(await server.line).url).port)).toBeGreaterThan(port);
    server.stop();
    expect(await server.ended).toBe(0);
  } finally {
    taken.close();
  }
});

test('stopped while it starts', async () => {
  const server = serve(model, '--port', '0');
  server.stop();
  expect(await server.ended).toBe(0);
});
