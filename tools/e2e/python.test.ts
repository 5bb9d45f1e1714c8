// Rewritten files load and run unmodified in Python's onnxruntime, and give what PyTorch gave.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pythonEnvironment } from '../python/environment.mjs';
import { root } from '../steps/workspace.mjs';

const SET_UP_TIMEOUT_MS = 120_000;
const samples = join(root, 'models', 'fixtures', 'samples');
const cli = join(root, 'packages', 'cli', 'dist', 'main.js');
const runner = join(root, 'tools', 'e2e', 'run_onnxruntime.py');
const matching = readdirSync(samples).filter((name) => {
  const meta = join(samples, name, 'meta.json');
  return existsSync(meta) && JSON.parse(readFileSync(meta, 'utf8')).should_match;
});

let work: string;
let python: Awaited<ReturnType<typeof pythonEnvironment>>;
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'ort-dora-python-'));
  python = await pythonEnvironment();
}, SET_UP_TIMEOUT_MS);
afterAll(() => rmSync(work, { recursive: true }));

test.each(matching)('%s', (name) => {
  const folder = join(samples, name);
  const meta = JSON.parse(readFileSync(join(folder, 'meta.json'), 'utf8'));
  const rewritten = join(work, `${name}.onnx`);
  execFileSync(process.execPath, [cli, 'rewrite', join(folder, 'model.onnx'), rewritten], { stdio: 'ignore' });
  for (const set of ['', '_2']) {
    const files = [join(folder, `inputs${set}.npz`), join(folder, `expected${set}.npz`)];
    const { stdout, stderr } = spawnSync(python.command, [runner, rewritten, ...files], {
      encoding: 'utf8',
      env: { ...process.env, ...python.env },
    });
    expect(stdout, stderr).not.toBe('');
    const { version, errors } = JSON.parse(stdout);
    expect(version).toBe('1.30.0');
    for (const [output, error] of Object.entries(errors)) {
      expect(error, output).toBeLessThanOrEqual(meta.tolerance.max_abs_over_absmax);
    }
  }
});
