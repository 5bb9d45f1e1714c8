// The runtimes that are asked, where they are installed, and how each is started.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ortHeaders } from '@ort-dora/custom-ops/native-build';
import { pythonEnvironment } from '../python/environment.mjs';
import { run } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';

/** The newest patch of every minor version since 1.20 that the registries have. */
const PYTHON = [
  ...['1.20.1', '1.21.1', '1.22.1', '1.23.2', '1.24.4', '1.25.1', '1.26.0'],
  ...['1.27.0', '1.28.0', '1.29.0', '1.30.0', '1.31.1', '1.32.0'],
];
const NPM = ['1.20.1', '1.21.1', '1.22.0', '1.23.2', '1.24.3', '1.25.1', '1.26.0', '1.27.0', '1.29.0', '1.30.0'];
const TRANSFORMERS = ['4.2.0', '4.3.1'];

const cache = process.env.ORT_DORA_COMPATIBILITY ?? join(root, '.cache', 'compatibility');
const here = join(root, 'tools', 'compatibility');

/**
 * Each runtime: what it is, its version, whether operator libraries can be registered, and `start(cases, library)`, the command
 * that runs a list of cases.
 */
export async function* runtimes() {
  const program = await compiled();
  const python = await pythonEnvironment();
  for (const version of PYTHON) {
    const folder = await installed('python', version, (target) =>
      run('pip', 'python3', [
        ...['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', target, `onnxruntime==${version}`],
      ]),
    );
    const env = { ...python.env, PYTHONPATH: `${folder}:${python.env.PYTHONPATH}` };
    const start = (cases, library) => [python.command, [join(here, 'run_python.py'), cases, ...library], env];
    yield { name: 'Python onnxruntime', version, registers: true, start };
  }
  for (const [title, name] of [
    ['onnxruntime-node', 'node'],
    ['onnxruntime-web (WebAssembly)', 'web'],
  ]) {
    for (const version of NPM) {
      const folder = await npmInstalled(name, version, `onnxruntime-${name}`);
      const runner = join(here, 'run-javascript.mjs');
      const start = (cases) => [process.execPath, [runner, cases, folder, `onnxruntime-${name}`], {}];
      yield { name: title, version, registers: false, start };
    }
  }
  for (const version of NPM) {
    const folder = await npmInstalled('node', version, 'onnxruntime-node');
    const start = (cases, library) => [program, [libraryOf(folder), cases, ...library], {}];
    yield { name: 'C++, C API 20', version, registers: true, start };
  }
}

/** transformers.js: `start(model)` generates from a folder. */
export async function* transformers() {
  for (const version of TRANSFORMERS) {
    const folder = await npmInstalled('transformers', version, '@huggingface/transformers');
    const start = (model) => [process.execPath, [join(here, 'run-transformers.mjs'), model, folder], {}];
    yield { name: 'transformers.js', version, start };
  }
}

async function npmInstalled(kind, version, name) {
  return installed(kind, version, async (target) => {
    writeFileSync(join(target, 'package.json'), '{ "private": true }\n');
    await run('npm', 'npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${version}`], {
      cwd: target,
    });
  });
}

/** Installs into the cache, whole or not at all. */
async function installed(kind, version, install) {
  const folder = join(cache, kind, version);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  await install(unfinished);
  renameSync(unfinished, folder);
  return folder;
}

async function compiled() {
  const headers = await ortHeaders();
  const program = join(cache, 'run');
  const source = join(here, 'run.cc');
  await run('g++', 'g++', ['-std=c++17', '-O1', '-Wall', `-I${headers}`, source, '-o', program, '-ldl']);
  return program;
}

function libraryOf(folder) {
  const bin = join(folder, 'node_modules', 'onnxruntime-node', 'bin');
  const [napi] = readdirSync(bin);
  const libraries = join(bin, napi, 'linux', 'x64');
  const name = readdirSync(libraries).find((file) => /^libonnxruntime\.so\.1/.test(file));
  return join(libraries, name);
}

/** Runs a command to its end; its standard output, and how it ended. */
export function finish([command, args, env], { timeout }) {
  const { stdout, stderr, status, signal, error } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    timeout,
    maxBuffer: 64 * 2 ** 20,
  });
  return { stdout: stdout ?? '', stderr: stderr ?? '', ended: error?.code ?? signal ?? status };
}
