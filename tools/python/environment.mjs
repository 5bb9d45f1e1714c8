// A Python with onnxruntime of our own version, for the tests that run rewritten models outside Node.js.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, StepError } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';

const REQUIREMENTS = join(root, 'tools', 'python', 'requirements.txt');
const FOLDER = join(root, '.cache', 'python');

/**
 * Installs requirements.txt into .cache/python unless that was done before.
 * @returns {Promise<{ command: string, env: Record<string, string> }>} how to start that Python
 */
export async function pythonEnvironment() {
  const python = { command: 'python3', env: { PYTHONPATH: FOLDER, PYTHONNOUSERSITE: '1' } };
  const digest = createHash('sha256').update(readFileSync(REQUIREMENTS)).update(versionOf('python3')).digest('hex');
  const stamp = join(FOLDER, '.requirements');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return python;
  rmSync(FOLDER, { recursive: true, force: true });
  const pip = await findPip();
  await run('python', 'python3', [...pip, 'install', '--quiet', '--target', FOLDER, '--requirement', REQUIREMENTS]);
  writeFileSync(stamp, digest);
  return python;
}

/** Arguments that make python3 run pip. Debian's python3 comes without it: then Debian's wheel of pip is fetched. */
async function findPip() {
  if (spawnSync('python3', ['-m', 'pip', '--version'], { stdio: 'ignore' }).status === 0) return ['-m', 'pip'];
  const { debianPackage } = await import('@ort-dora/custom-ops/native-build');
  const wheels = join(await debianPackage('python3-pip-whl'), 'usr', 'share', 'python-wheels');
  const wheel = readdirSync(wheels).find((name) => /^pip-.*\.whl$/.test(name));
  if (wheel === undefined) throw new StepError('python3 has no pip', 'apt-get install -y python3-pip');
  return [join(wheels, wheel, 'pip')];
}

function versionOf(command) {
  return spawnSync(command, ['--version'], { encoding: 'utf8' }).stdout;
}
