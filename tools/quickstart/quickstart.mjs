// The main job on a real export: rewrite it, prove it equal, serve it, ask it over HTTP.
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setUp } from '../setup/setup.mjs';
import { StepError, step } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';
import { ask } from './request.mjs';

const MODEL = 'smolvlm';
const SAMPLE = join(root, 'models', 'fixtures', 'samples', 'm10b_smolvlm_dynamo_mixed');
const FOLDER = join(root, 'build', 'quickstart');
const MODULES = 27;
const FIRST_PORT = 8080;
const CLI = join(root, 'packages', 'cli', 'dist', 'main.js');

/** Runs the whole path and leaves the server in the foreground until it is stopped. */
export async function quickstart() {
  await setUp();
  const model = join(FOLDER, 'models', MODEL, 'model.onnx');
  const report = join(FOLDER, 'report');
  await step(`rewrite ${relative(root, SAMPLE)} (SmolVLM, fp16 with fp32 DoRA adapters) and verify it`, () =>
    ortDora([
      'rewrite',
      join(SAMPLE, 'model.onnx'),
      model,
      '--verify',
      '--require',
      String(MODULES),
      '--report',
      `${report}.json`,
      '--html',
      `${report}.html`,
    ]),
  );
  console.log(`  report: ${relative(root, report)}.html`);
  await serve(join(FOLDER, 'models'));
}

/** Runs the command line with its output passed through. */
async function ortDora(args) {
  const child = spawn(process.execPath, [CLI, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new StepError(`ort-dora ${args[0]} ended with exit code ${code}`, 'its message is above');
}

/** Starts the server on the first free port, asks it once, says how to ask it again, and waits for it to be stopped. */
async function serve(models) {
  const log = join(FOLDER, 'server.log');
  const server = spawn(
    process.execPath,
    [CLI, 'serve', models, '--port', String(FIRST_PORT), '--next-free-port', '--json'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', openSync(log, 'w')],
    },
  );
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.kill('SIGTERM'));
  const ended = new Promise((resolve) => server.on('close', resolve));
  const url = await Promise.race([
    addressOf(server),
    ended.then((code) => {
      throw new StepError(
        `the server ended with exit code ${code} before it answered`,
        `its message is in ${relative(root, log)}`,
      );
    }),
  ]);
  let curl = '';
  await step(`ask ${url}`, async () => {
    curl = await ask({ url, model: MODEL, sample: SAMPLE, folder: FOLDER });
  });
  console.log(
    `\nThe same request with curl (the head of the answer is JSON, the logits follow as binary float16):\n  ${curl}`,
  );
  console.log(`\nThe server runs at ${url} until you press Ctrl-C; it logs to ${relative(root, log)}.`);
  process.exitCode = await ended;
}

/** The first line of `ort-dora serve --json` on stdout names the address. */
function addressOf(server) {
  return new Promise((resolve, reject) => {
    let text = '';
    server.stdout.on('data', (chunk) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      server.stdout.removeAllListeners('data').resume();
      try {
        resolve(JSON.parse(text.slice(0, end)).url);
      } catch {
        reject(new StepError(`the server announced itself with '${text.slice(0, end)}', not with JSON`));
      }
    });
  });
}
