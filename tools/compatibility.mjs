// `node tools/compatibility.mjs`: installs versions of ONNX Runtime, runs rewritten models in each, and writes
// benchmarks/results/compatibility.json and docs/compatibility.md. Takes minutes, and 5 GB of .cache/compatibility
// (ORT_DORA_COMPATIBILITY names another place). `--page` writes the page alone, from the results that are there.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { opsLibraryPath } from '@ort-dora/custom-ops';
import { writeCases } from './compatibility/cases.mjs';
import { compatibilityPage } from './compatibility/page.mjs';
import { finish, runtimes, transformers } from './compatibility/runtimes.mjs';
import { root } from './steps/workspace.mjs';

const RESULTS = join(root, 'benchmarks', 'results', 'compatibility.json');
const RUNTIME_TIMEOUT_MS = 600_000;

if (!process.argv.includes('--page')) await measure();
writeFileSync(join(root, 'docs', 'compatibility.md'), compatibilityPage(JSON.parse(readFileSync(RESULTS, 'utf8'))));

async function measure() {
  const work = mkdtempSync(join(tmpdir(), 'ort-dora-compatibility-'));
  try {
    const { file, names } = await writeCases(work);
    const results = { cases: names, runtimes: [], transformers: [] };
    for await (const { name, version, registers, start } of runtimes()) {
      const bodies = outcomes(finish(start(file, []), { timeout: RUNTIME_TIMEOUT_MS }), names);
      const library = registers
        ? outcomes(finish(start(file, [opsLibraryPath()]), { timeout: RUNTIME_TIMEOUT_MS }), names)
        : null;
      results.runtimes.push({ name, version, bodies, library });
      console.error(`${name} ${version}: ${bodies.passed} of ${names.length}, library ${library?.passed ?? '–'}`);
    }
    const demo = rewrittenDemo(work);
    for await (const { name, version, start } of transformers()) {
      const { stdout, stderr } = finish(start(demo), { timeout: RUNTIME_TIMEOUT_MS });
      const outcome = stdout === '' ? { failure: stderr.slice(-500) } : JSON.parse(stdout);
      results.transformers.push({ name, version, ...outcome });
    }
    writeFileSync(RESULTS, `${JSON.stringify(results, null, 1)}\n`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What became of the cases: how many passed, and the others by what failed. */
function outcomes({ stdout, stderr, ended }, names) {
  const found = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  const failures = {};
  for (const { case: name, passed, failure, error } of found) {
    if (!passed) failures[name] = failure ?? `an error of ${error} against PyTorch`;
  }
  const missing = names.slice(found.length);
  for (const name of missing) failures[name] = `did not run: the process ended with ${ended}: ${stderr.slice(-200)}`;
  return { passed: found.filter(({ passed }) => passed).length, failures };
}

/** The demo with its adapter, whose decoder transformers.js looks for under one name. */
function rewrittenDemo(work) {
  const [source, target] = ['demo-original', 'demo'].map((name) => join(work, name));
  cpSync(join(root, 'models', 'fixtures', 'demo'), source, { recursive: true });
  const decoder = join(source, 'onnx', 'decoder_model_merged');
  cpSync(`${decoder}_reading.onnx`, `${decoder}.onnx`);
  rmSync(`${decoder}_reading.onnx`);
  const cli = join(root, 'packages', 'cli', 'dist', 'main.js');
  execFileSync(process.execPath, [cli, 'rewrite', source, target], { stdio: 'ignore' });
  return target;
}
