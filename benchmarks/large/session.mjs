// `node benchmarks/large/session.mjs FOLDER [PREFIX...]`: loads and runs the 24-layer export (export.py) and its rewrites, a
// fresh process each time, started by PREFIX (`chrt -f 10` where the machine has other work). Writes
// benchmarks/results/session-load.json.
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cli, measured, median, rounded, writeResult } from './measured.mjs';

const PROCESSES = 3;
const LAYERS = 24;
const KV_HEADS = 8;
const HEAD_DIM = 64;
const HIDDEN = 1024;

const [given = '.', ...prefix] = process.argv.slice(2);
const folder = resolve(given);
const original = join(folder, 'slim.onnx');
const scratch = mkdtempSync(join(folder, 'rewritten-'));
const exported = { model: original, files: [original, join(folder, 'model.onnx_data')] };
const rewritten = made([]);
const models = [
  { name: 'original, stock', how: 'stock', ...exported },
  { name: 'rewritten, stock', how: 'stock', ...rewritten },
  { name: 'rewritten with `--compact`, stock', how: 'stock', ...made(['--compact']) },
  { name: 'original, stock, prepacking off', how: 'stock-unpacked', ...exported },
  { name: 'rewritten, stock, prepacking off', how: 'stock-unpacked', ...rewritten },
  { name: 'rewritten, with the operator library', how: 'library', ...rewritten },
  { name: 'rewritten, with the operator library, all kernels', how: 'library-kernels', ...rewritten },
];
const runs = new Map(models.map(({ name }) => [name, []]));
// The first to touch memory of a virtual machine waits for the host too: this one is not counted.
loadAndRun(models[0]);
// in turns, so that a slow minute of the machine is everyone's
for (let i = 0; i < PROCESSES; i++) for (const model of models) runs.get(model.name).push(loadAndRun(model));

const [{ logits }] = runs.get(models[0].name);
writeResult('session-load', ['node benchmarks/large/session.mjs FOLDER', ...prefix].join(' '), {
  description: `${LAYERS} layers, ${HIDDEN} wide, float32, rank 16, logits of the last of 64 tokens compared; medians of ${PROCESSES} fresh processes`,
  models: models.map(({ name, files }) => ({ name, ...sizes(files), ...figures(runs.get(name)) })),
});
rmSync(scratch, { recursive: true });

function made(options) {
  const out = mkdtempSync(join(scratch, 'model-'));
  const model = join(out, 'model.onnx');
  const { failure } = measured([process.execPath, cli, 'rewrite', original, model, ...options]);
  if (failure) throw new Error(`rewrite failed: ${failure}`);
  return { model, files: readdirSync(out).map((file) => join(out, file)) };
}

function loadAndRun({ how, model }) {
  const script = fileURLToPath(new URL('load-and-run.mjs', import.meta.url));
  const shape = [LAYERS, KV_HEADS, HEAD_DIM, HIDDEN].map(String);
  const { output, peakMegabytes, failure } = measured([...prefix, process.execPath, script, how, model, ...shape]);
  if (failure) throw new Error(`${model}: ${failure}`);
  return { ...JSON.parse(output), peakMegabytes };
}

function figures(measurements) {
  const of = (key) => median(measurements.map((m) => m[key]));
  return {
    loadSeconds: rounded(of('load') / 1000),
    oneTokenMilliseconds: rounded(of('decode'), 1),
    sixtyFourTokensMilliseconds: rounded(of('prefill'), 1),
    peakMegabytes: of('peakMegabytes'),
    ownMegabytes: of('ownMegabytes'),
    largestLogitDifference: Math.max(...logits.map((value, i) => Math.abs(value - measurements[0].logits[i]))),
    largestLogit: Math.max(...logits.map(Math.abs)),
  };
}

function sizes(files) {
  const bytes = (wanted) =>
    files.filter((f) => f.endsWith('.onnx') === wanted).reduce((sum, f) => sum + statSync(f).size, 0);
  return { graphMegabytes: rounded(bytes(true) / 1e6), dataMegabytes: rounded(bytes(false) / 1e6, 1) };
}
