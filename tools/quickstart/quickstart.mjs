// The main job on real exports: rewrite them, prove them equal, serve them, ask them over HTTP.
import { spawn } from 'node:child_process';
import { cpSync, openSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setUp } from '../setup/setup.mjs';
import { StepError, step } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';
import { askAboutPictures } from './chat-request.mjs';
import { ask } from './inference-request.mjs';

const FIXTURES = join(root, 'models', 'fixtures');
const SAMPLE = join(FIXTURES, 'samples', 'm10b_smolvlm_dynamo_mixed');
const DEMO = join(FIXTURES, 'demo');
const FOLDER = join(root, 'build', 'quickstart');
const MODELS = join(FOLDER, 'models');
const FIRST_PORT = 8080;
const CLI = join(root, 'packages', 'cli', 'dist', 'main.js');

/** The demo's base, its adapter as PEFT's layers were exported, and the same rewritten. */
const CHAT_MODELS = ['demo', 'demo-reading', 'demo-reading-rewritten'];
const QUESTIONS = [
  { picture: '139.png', question: 'Which number do you see?', answer: '3284' },
  { picture: '150.png', question: 'What number is this?', answer: '438' },
].map((asked) => ({ ...asked, picture: join(DEMO, 'recorded', 'pictures', asked.picture) }));

/** Runs the whole path and leaves the server in the foreground until it is stopped. */
export async function quickstart() {
  await setUp();
  rmSync(FOLDER, { recursive: true, force: true });
  await step(`rewrite ${relative(root, SAMPLE)} (SmolVLM, float16 with float32 adapters) and verify it`, () =>
    rewrite(join(SAMPLE, 'model.onnx'), join(MODELS, 'smolvlm', 'model.onnx'), 'smolvlm', 27),
  );
  await step(
    `rewrite ${relative(root, DEMO)} (a trained SmolVLM with its adapter for reading numbers) and verify it`,
    () => {
      // Beside the original, so that the two and the base share one file of weights.
      const decoder = join(MODELS, 'demo', 'onnx', 'decoder_model_merged_reading');
      cpSync(DEMO, join(MODELS, 'demo'), { recursive: true, filter: (path) => !/\/(adapters|recorded)$/.test(path) });
      return rewrite(`${decoder}.onnx`, `${decoder}-rewritten.onnx`, 'demo', 14);
    },
  );
  await serve();
}

/** One model through the command line, with its output passed through and a report beside. */
async function rewrite(model, out, name, modules) {
  const report = join(FOLDER, `report-${name}`);
  const reports = ['--report', `${report}.json`, '--html', `${report}.html`];
  const args = ['rewrite', model, out, '--verify', '--require', String(modules), ...reports];
  const child = spawn(process.execPath, [CLI, ...args], { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  const code = await new Promise((resolve) => child.on('close', resolve));
  if (code !== 0) throw new StepError(`ort-dora rewrite ended with exit code ${code}`, 'its message is above');
  return `report in ${relative(root, report)}.html`;
}

/** Starts the server on the first free port, asks it, says how to ask it again, and waits for it to be stopped. */
async function serve() {
  const log = join(FOLDER, 'server.log');
  const args = ['serve', MODELS, '--port', String(FIRST_PORT), '--next-free-port', '--json'];
  const server = spawn(process.execPath, [CLI, ...args], { cwd: root, stdio: ['ignore', 'pipe', openSync(log, 'w')] });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => server.kill('SIGTERM'));
  const ended = new Promise((resolve) => server.on('close', resolve));
  const url = await Promise.race([
    addressOf(server),
    ended.then((code) => {
      const where = `its message is in ${relative(root, log)}`;
      throw new StepError(`the server ended with exit code ${code} before it answered`, where);
    }),
  ]);
  const lines = [];
  await step(`inference of smolvlm at ${url}`, async () => {
    lines.push(await ask({ url, model: 'smolvlm', sample: SAMPLE, folder: FOLDER }));
  });
  await step(`questions about pictures at ${url}`, async () => {
    lines.push(await askAboutPictures({ url, models: CHAT_MODELS, questions: QUESTIONS, folder: FOLDER }));
  });
  console.log('\nThe same with curl (of the first answer, the head is JSON; the logits follow as binary float16):');
  for (const line of lines) console.log(`  ${line}`);
  console.log(`\nAsk about your own pictures at ${url}/`);
  console.log(`The server runs until you press Ctrl-C; it logs to ${relative(root, log)}.`);
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
