import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES, infer, metric, send, slowRun, until } from './support/server.js';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));

// Node.js runs the server here, not vitest, so it needs the compiled package.
beforeAll(() => {
  execFileSync('npx', ['tsc', '-b', PACKAGE], { cwd: PACKAGE, stdio: 'inherit' });
}, 120_000);

const PROGRAM = `
import { closeOnSignals, startServer } from '@ort-dora/server';
const server = await startServer({ models: process.argv[1], port: 0, drainTimeoutMs: 20000 });
closeOnSignals(server);
console.log(server.url);
`;

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

async function serve(): Promise<{ child: ChildProcess; url: string; exited: Promise<number | NodeJS.Signals | null> }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, FIXTURES], {
    cwd: PACKAGE,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  children.push(child);
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal)),
  );
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout!.once('data', (chunk: Buffer) => resolve(chunk.toString().trim()));
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
  });
  return { child, url, exited };
}

describe('a server process', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('drains on %s and exits 0', async (signal) => {
    const { child, url, exited } = await serve();
    const run = infer(url, 'slow', slowRun(2000));
    await until(async () => (await metric(url, 'ort_dora_requests_running')) === 1, 'the run');
    child.kill(signal);
    await until(async () => (await send(url, '/readyz')).status === 503, 'draining');
    expect((await infer(url, 'slow', slowRun(1))).status).toBe(503);
    expect((await run).status).toBe(200);
    expect(await exited).toBe(0);
  });

  it('exits at once on a second signal', async () => {
    const { child, url, exited } = await serve();
    const run = infer(url, 'slow', slowRun(10_000_000)).catch((error: Error) => error);
    await until(async () => (await metric(url, 'ort_dora_requests_running')) === 1, 'the run');
    child.kill('SIGTERM');
    await until(async () => (await send(url, '/readyz')).status === 503, 'draining');
    child.kill('SIGTERM');
    expect(await exited).toBe(143);
    expect(await run).toBeInstanceOf(Error);
  });
});
