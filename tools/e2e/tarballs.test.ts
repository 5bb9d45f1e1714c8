// What a user of the published packages gets: tarballs installed into an empty project, the native parts built there.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { root } from '../steps/workspace.mjs';

const INSTALL_TIMEOUT_MS = 300_000;
const sample = join(root, 'models', 'fixtures', 'samples', 'm10b_smolvlm_dynamo_mixed', 'model.onnx');

let project: string;
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'ort-dora-tarballs-'));
  const tarballs = join(project, 'tarballs');
  mkdirSync(tarballs);
  command('npm', ['pack', '--workspaces', '--pack-destination', tarballs], root);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
  const files = readdirSync(tarballs).map((name) => `./tarballs/${name}`);
  command('npm', ['install', '--no-audit', '--no-fund', '--foreground-scripts', ...files], project);
}, INSTALL_TIMEOUT_MS);
afterAll(() => rmSync(project, { recursive: true, force: true }));

test('the addon and the operator library are built and loaded there, not the fallback', () => {
  const doctor = JSON.parse(command('npx', ['--no-install', 'ort-dora', 'doctor', '--json'], project));
  expect(doctor.backend).toBe('addon');
  expect(doctor.addon.path).toContain(join(project, 'node_modules', '@ort-dora', 'runtime'));
  expect(doctor.opsLibrary.path).toContain(join(project, 'node_modules', '@ort-dora', 'custom-ops'));
  expect(doctor.opsLibrary.status).toBe('registered');
});

test('the command line rewrites and verifies a real export', () => {
  const args = [
    '--no-install',
    'ort-dora',
    'rewrite',
    sample,
    'out/model.onnx',
    '--verify',
    '--require',
    '27',
    '--json',
  ];
  const report = JSON.parse(command('npx', args, project));
  expect(report.totals.fused).toBe(27);
  expect(report.verification.passed).toBe(true);
});

test('the packages load from ESM and from CommonJS', () => {
  for (const [file, code] of [
    ['esm.mjs', `import { createSession } from '@ort-dora/runtime'; console.log(typeof createSession);`],
    ['cjs.cjs', `console.log(typeof require('@ort-dora/runtime').createSession);`],
  ] as const) {
    writeFileSync(join(project, file), code);
    expect(command(process.execPath, [file], project).trim()).toBe('function');
  }
});

/** Runs a command to its end and returns its standard output; onnxruntime-node must not fetch CUDA libraries. */
function command(name: string, args: string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(name, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
  });
  if (status !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${status}:\n${stdout}\n${stderr}`);
  return stdout;
}
