// `npm run quickstart` as a new user sees it: it rewrites, verifies, serves, and its curl line works.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { root } from '../steps/workspace.mjs';

const TIMEOUT_MS = 120_000;
let cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of cleanUp) await undo();
  cleanUp = [];
});

test('a busy port moves to the next free one, and the printed curl line is answered', {
  timeout: TIMEOUT_MS,
}, async () => {
  const busy = await occupy(8080);
  if (busy) cleanUp.push(() => new Promise((resolve) => busy.close(resolve)));
  const { process: quickstart, text } = await started({});
  const url = /http:\/\/127\.0\.0\.1:(\d+)/.exec(text)!;
  expect(Number(url[1])).toBeGreaterThan(8080);
  expect(text).toContain('27 of 27');
  expect(text).toContain('14 of 14');
  for (const model of ['demo-reading', 'demo-reading-rewritten']) {
    expect(text).toMatch(new RegExp(`${model} +3284 `));
    expect(text).toMatch(new RegExp(`${model} +438 `));
  }
  for (const report of ['report-smolvlm.html', 'report-demo.html']) {
    expect(readFileSync(join(root, 'build', 'quickstart', report), 'utf8')).toContain('<svg');
  }
  const [inference, chat] = [...text.matchAll(/^ {2}(curl .*)$/gm)].map(([, curl]) =>
    execFileSync('bash', ['-c', curl!], { encoding: 'utf8', cwd: root }),
  );
  expect(inference).toContain('"model_name":"smolvlm"');
  expect(JSON.parse(chat!).choices[0].message.content).toBe('438');
  expect(await stopped(quickstart)).toBe(0);
});

test('without a compiler it says so, names the remedy, and still serves', { timeout: TIMEOUT_MS }, async () => {
  const path = mkdtempSync(join(tmpdir(), 'ort-dora-path-'));
  cleanUp.push(() => rmSync(path, { recursive: true }));
  for (const tool of ['node', 'npm', 'npx', 'sh', 'bash', 'env']) {
    symlinkSync(execFileSync('which', [tool], { encoding: 'utf8' }).trim(), join(path, tool));
  }
  const { process: quickstart, text } = await started({ PATH: path, ORT_DORA_RUNTIME: 'onnxruntime-node' });
  expect(text).toContain('apt-get install -y cmake g++');
  expect(text).toContain('27 of 27');
  expect(await stopped(quickstart)).toBe(0);
});

/** Starts the quickstart and waits until it says that its server runs. */
async function started(env: Record<string, string>): Promise<{ process: ChildProcess; text: string }> {
  const child = spawn(process.execPath, ['tools/quickstart.mjs'], { cwd: root, env: { ...process.env, ...env } });
  cleanUp.push(() => child.kill('SIGKILL'));
  let text = '';
  await new Promise<void>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      text += chunk;
      if (text.includes('until you press Ctrl-C')) resolve();
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('close', (code) => reject(new Error(`the quickstart ended with ${code}:\n${text}`)));
  });
  return { process: child, text };
}

function stopped(child: ChildProcess): Promise<number | null> {
  child.removeAllListeners('close');
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  child.kill('SIGTERM');
  return ended;
}

/** Takes the port; undefined where somebody else has it already, which is as busy. */
function occupy(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
