// `node benchmarks/large/compare.mjs PYTHON FOLDER_32B FOLDER_24 [PREFIX...]`: other tools that rewrite graphs over the same
// two files (export.py), each once, started by PREFIX (`nice -n -5` where the machine has other work). PYTHON has onnxscript,
// onnxruntime and onnxslim. Writes benchmarks/results/large-others.json.
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openModel } from '@ort-dora/onnx';
import { cli, measured, rounded, writeResult } from './measured.mjs';

const SECONDS = 180;
const MEMORY_GIGABYTES = 16;
/** A tool that writes all weights again would fill the disk before its time is over. */
const FILE_GIGABYTES = 20;

const [python, large, small, ...prefix] = process.argv.slice(2);
const script = fileURLToPath(new URL('other_tools.py', import.meta.url));
const versions = JSON.parse(execFileSync(python, [script, 'versions'], { encoding: 'utf8' }));
const others = [
  [`onnxscript ${versions.onnxscript}, rewriter`, 'onnxscript_rewriter'],
  [`ONNX Runtime ${versions.onnxruntime}, offline, basic`, 'onnxruntime_basic'],
  [`ONNX Runtime ${versions.onnxruntime}, offline, all`, 'onnxruntime_all'],
  [`onnxslim ${versions.onnxslim}`, 'onnxslim'],
];
const models = [
  { name: '32B, bfloat16', folder: resolve(large), options: ['--scale', 'runtime'] },
  { name: '24 layers, float32', folder: resolve(small), options: [] },
];
const rows = [];
for (const model of models) {
  const own = `ort-dora rewrite ${model.options.join(' ')}`.trim();
  rows.push(await row(model, own, (...files) => [process.execPath, cli, 'rewrite', ...files, ...model.options]));
  for (const [tool, name] of others) rows.push(await row(model, tool, (...files) => [python, script, name, ...files]));
}
writeResult('large-others', 'node benchmarks/large/compare.mjs PYTHON FOLDER_32B FOLDER_24', {
  limits: { seconds: SECONDS, memoryGigabytes: MEMORY_GIGABYTES, fileGigabytes: FILE_GIGABYTES },
  rows,
});

async function row({ name, folder }, tool, command) {
  const model = join(folder, 'slim.onnx');
  const before = new Set(readdirSync(folder));
  const out = join(folder, 'compared.onnx');
  const limits = [`--data=${MEMORY_GIGABYTES * 1e9}`, `--fsize=${FILE_GIGABYTES * 1e9}`];
  // in the model's folder, where the weights' relative place holds; killed before anybody else if memory runs out
  const limited = ['choom', '-n', '1000', '--', 'prlimit', ...limits, ...prefix, ...command(model, out)];
  const { output, ...figures } = measured(limited, { seconds: SECONDS, folder });
  const made = readdirSync(folder).filter((file) => !before.has(file));
  const written = figures.failure ? {} : await described(folder, out, made);
  for (const file of made) rmSync(join(folder, file), { recursive: true });
  console.log(name, tool, figures, written);
  // what Python puts before a message: the exception's class
  const failure = figures.failure?.replace(/^[\w.]+: (?=.)/, '');
  return { model: name, tool, ...figures, ...(failure && { failure }), ...written };
}

async function described(folder, out, files) {
  const file = await openModel(out);
  const nodes = file.model.graph.node.length;
  await file.close();
  const bytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  return { nodes, writtenMegabytes: rounded(bytes / 1e6, 1) };
}
