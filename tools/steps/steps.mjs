// Runs the steps of a long command: each is announced, timed, kept alive with a sign of progress, and logged to a file.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './workspace.mjs';

const SIGN_OF_LIFE_MS = 10_000;
const LINES_SHOWN_ON_FAILURE = 40;

/** A failure that a person can act on: `message` says what and where, `remedy` what to do. */
export class StepError extends Error {
  constructor(message, remedy) {
    super(message);
    this.name = 'StepError';
    this.remedy = remedy;
  }
}

/** Announces `title`, runs `work`, and prints how long it took. What `work` returns is printed behind it, if a string. */
export async function step(title, work) {
  const started = performance.now();
  process.stdout.write(`• ${title}\n`);
  const note = await work();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`  done in ${seconds} s${typeof note === 'string' ? `: ${note}` : ''}\n`);
}

/**
 * Runs a command with its output in build/logs/NAME.log. Every ten seconds the last line of it is shown, so that a
 * long step is seen to move without a terminal. With `show`, output passes through as well.
 * @returns the exit code; throws StepError for a non-zero one unless `allowFailure`.
 */
export async function run(name, command, args, { cwd = root, env = {}, show = false, allowFailure = false } = {}) {
  const folder = join(root, 'build', 'logs');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.log`);
  const log = createWriteStream(path);
  let last = '';
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const onData = (chunk) => {
    log.write(chunk);
    if (show) process.stdout.write(chunk);
    const lines = chunk
      .toString()
      .split('\n')
      .filter((line) => line.trim() !== '');
    last = lines.at(-1) ?? last;
  };
  child.stdout.on('data', onData);
  child.stderr.on('data', onData);
  const started = performance.now();
  const sign = setInterval(() => {
    if (show) return;
    const seconds = Math.round((performance.now() - started) / 1000);
    process.stdout.write(`  … ${seconds} s  ${last.trim().slice(0, 100) || 'still running'}\n`);
  }, SIGN_OF_LIFE_MS);
  const code = await new Promise((resolve, reject) => {
    child.on('error', (error) =>
      reject(
        new StepError(`${command} could not be started: ${error.message}`, `check that ${command} is on the PATH`),
      ),
    );
    child.on('close', (status, signal) => resolve(status ?? (signal ? 128 : 1)));
  }).finally(() => clearInterval(sign));
  await new Promise((resolve) => log.end(resolve));
  if (code !== 0 && !allowFailure) {
    if (!show) process.stdout.write(`${tail(path)}\n`);
    const shown = [command, ...args].join(' ');
    throw new StepError(`'${shown}' failed with exit code ${code}`, `its output is in ${relative(root, path)}`);
  }
  return code;
}

/** Ends the process the way both commands promise: one plain message, what to do, exit code 1. */
export function fail(error) {
  process.stderr.write(`\n✗ ${error.message}\n`);
  if (error.remedy) process.stderr.write(`  ${error.remedy}\n`);
  if (!(error instanceof StepError)) process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}

function tail(path) {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-LINES_SHOWN_ON_FAILURE).join('\n');
}
