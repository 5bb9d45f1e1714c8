// Models rewritten with --form compose still quantize with onnxruntime's Python quantizers, every adapted base included.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pythonEnvironment } from '../python/environment.mjs';
import { root } from '../steps/workspace.mjs';

const SET_UP_TIMEOUT_MS = 120_000;
const cli = join(root, 'packages', 'cli', 'dist', 'main.js');

let work: string;
let python: Awaited<ReturnType<typeof pythonEnvironment>>;
beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'ort-dora-quantizers-'));
  python = await pythonEnvironment();
}, SET_UP_TIMEOUT_MS);
afterAll(() => rmSync(work, { recursive: true }));

/** Largest error against PyTorch of one layer, or of two layers of random weights, which 4 bits do not hold. */
const LAYER = { dynamic: 0.02, static: 0.03, nbits: 0.15 };
const MODEL = { dynamic: 0.1, static: 0.1, nbits: 0.6 };
const HALF_MODEL = { static: 0.2, nbits: 0.6 };

test.each([
  ['c18b_two_adapters_nobias_legacy', LAYER],
  ['m13_llama_kvcache_dynamo', MODEL],
  ['m10b_smolvlm_dynamo_mixed', HALF_MODEL],
] as const)('%s', { timeout: 60_000 }, (name, limits) => {
  const folder = join(root, 'models', 'fixtures', 'samples', name);
  const { expected_dora_modules: modules } = JSON.parse(readFileSync(join(folder, 'meta.json'), 'utf8'));
  const rewritten = join(work, `${name}.onnx`);
  const model = join(folder, 'model.onnx');
  execFileSync(process.execPath, [cli, 'rewrite', model, rewritten, '--form', 'compose'], { stdio: 'ignore' });
  const library = spawnSync(process.execPath, [cli, 'ops-library'], { encoding: 'utf8' });
  const out = join(work, name);
  mkdirSync(out);
  const { stdout, stderr } = spawnSync(
    python.command,
    [
      join(root, 'tools', 'e2e', 'run_quantizers.py'),
      rewritten,
      ...[join(folder, 'inputs.npz'), join(folder, 'expected.npz'), out],
      ...(library.status === 0 ? [library.stdout.trim()] : []),
    ],
    { encoding: 'utf8', env: { ...process.env, ...python.env } },
  );
  const report = JSON.parse(stdout.trim().split('\n').at(-1) || stderr);
  expect(Object.keys(report)).toEqual(['version', ...Object.keys(limits)]);
  for (const [quantizer, limit] of Object.entries(limits)) {
    const { composed, bases, errors, library_errors: libraryErrors } = report[quantizer];
    expect([composed, bases], quantizer).toEqual([modules, modules]);
    for (const [output, error] of Object.entries({ ...errors, ...libraryErrors })) {
      expect(error, `${quantizer} ${output}`).toBeLessThan(limit);
    }
    expect(libraryErrors !== undefined).toBe(library.status === 0);
  }
});
