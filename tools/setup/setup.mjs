// Brings a fresh clone to the point where everything runs: npm packages, the native parts, the TypeScript build.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, StepError, step } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';
import { missingNativeTools, requireNode } from './prerequisites.mjs';

/** Nx as a plain program: no daemon left behind, no terminal interface, no questions, no colours. */
export const nxEnvironment = {
  NX_DAEMON: 'false',
  NX_TUI: 'false',
  NX_SKIP_NX_CACHE: 'false',
  CI: 'true',
  FORCE_COLOR: '0',
};

/** Sets everything up; what is already up to date costs next to nothing. */
export async function setUp() {
  requireNode();
  await step('npm packages', installPackages);
  await step('native addon and operator library', buildNative);
  await step('TypeScript', buildTypeScript);
}

async function installPackages() {
  const lock = join(root, 'package-lock.json');
  const stamp = join(root, 'node_modules', '.ort-dora-lock');
  const digest = createHash('sha256').update(readFileSync(lock)).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return 'up to date';
  // `npm ci` would refuse a lock file without the packages of foreign platforms, which not every registry carries; without
  // saving, `npm install` takes the locked versions all the same. Install scripts stay off: onnxruntime-node's would fetch
  // CUDA libraries, and our own run in the next step.
  await run('npm-install', 'npm', [
    'install',
    '--no-save',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
  ]);
  writeFileSync(stamp, digest);
}

async function buildNative() {
  const { names, remedy } = missingNativeTools();
  if (names.length > 0) {
    return `skipped: ${names.join(', ')} missing (${remedy}). Models run through the functions inside them, on stock onnxruntime-node`;
  }
  await run('native', 'npm', ['run', 'install', '-w', '@ort-dora/custom-ops', '-w', '@ort-dora/runtime']);
}

async function buildTypeScript() {
  await run('typescript', 'npx', ['--no-install', 'nx', 'run-many', '-t', 'build', '--outputStyle=stream'], {
    env: nxEnvironment,
  });
  if (!existsSync(join(root, 'packages', 'cli', 'dist', 'main.js'))) {
    throw new StepError('the build left no packages/cli/dist/main.js', 'run `npx nx reset` and try again');
  }
}
