// Runs the programs of test/programs in processes of their own: what crashes, exits or counts warnings cannot be tested in vitest's.
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildWithCMake, ortHeaders, withLock } from '@ort-dora/custom-ops/native-build';

const packageRoot = fileURLToPath(new URL('../../', import.meta.url));
const build = join(packageRoot, 'build');

/** The programs import the package by its name, so from dist/: brings it up to date. */
export async function buildRuntime(): Promise<void> {
  const tsc = join(packageRoot, '../../node_modules/.bin/tsc');
  await withLock(join(build, 'dist.lock'), () => promisify(execFile)(tsc, ['-b', packageRoot]));
}

/** The path of the library of test/native. */
export async function testOpsLibrary(): Promise<string> {
  const folder = join(build, 'test-ops');
  await buildWithCMake({
    source: join(packageRoot, 'test/native'),
    build: folder,
    options: { ORT_INCLUDE_DIR: await ortHeaders() },
  });
  return join(folder, 'libtest_ops.so');
}

/** Writes a model where programs can open it; the name must be of one content. */
export function modelFile(name: string, bytes: Uint8Array): string {
  const folder = join(build, 'test-models');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${process.pid}-${name}.onnx`);
  writeFileSync(path, bytes);
  return path;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** From spawning to the end. */
  readonly milliseconds: number;
}

/** Runs test/programs/NAME with `argument` as JSON in argv[2]. */
export function runProgram(
  name: string,
  argument: object = {},
  { env = {}, flags = [] }: { env?: Record<string, string | undefined>; flags?: readonly string[] } = {},
): Promise<Outcome> {
  const start = performance.now();
  const program = join(packageRoot, 'test/programs', name);
  const child = spawn(process.execPath, [...flags, program, JSON.stringify(argument)], {
    env: { ...process.env, NODE_OPTIONS: '', ORT_DORA_RUNTIME: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ code, signal, stdout, stderr, milliseconds: performance.now() - start }),
    );
  });
}
