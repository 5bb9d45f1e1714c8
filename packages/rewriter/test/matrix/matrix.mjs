/**
 * Rewrites and verifies the exports that export.py made.
 *
 *     node packages/rewriter/test/matrix/matrix.mjs OUT_DIR [--only REGEX] [--record matrix.json]
 *
 * Of each case: the number of fused modules, no module refused, and the rule of packages/verify (every module's error
 * against float64 at most twice the original's, plus one rounding) on stock ONNX Runtime and with the operator library.
 * Needs `npm run build`.
 */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { rewriteModel } from '@ort-dora/rewriter';
import { verifyModels } from '@ort-dora/verify';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string', default: '' }, record: { type: 'string' } },
});
const [root] = positionals;
if (root === undefined) throw new Error('usage: node matrix.mjs OUT_DIR [--only REGEX] [--record FILE]');

const scratch = await mkdtemp(join(tmpdir(), 'ort-dora-matrix-'));
const environments = [];
try {
  const complete = (folder) => existsSync(join(root, folder, 'cases.json'));
  for (const folder of (await readdir(root)).filter(complete).sort()) environments.push(await runEnvironment(folder));
} finally {
  await rm(scratch, { recursive: true });
}
const totals = {};
for (const { counts } of environments) {
  for (const [key, count] of Object.entries(counts)) totals[key] = (totals[key] ?? 0) + count;
}
console.log(totals);
if (values.record) await writeFile(values.record, `${JSON.stringify({ totals, environments }, null, 1)}\n`);
process.exitCode = totals.wrong ? 1 : 0;

/** All cases of one pair of torch and PEFT. */
async function runEnvironment(folder) {
  const { cases, ...versions } = JSON.parse(await readFile(join(root, folder, 'cases.json'), 'utf8'));
  const counts = { exported: 0, absent: 0, failed: 0, invalid: 0, modules: 0, right: 0, wrong: 0 };
  const forms = {};
  const problems = [];
  let worstRatio = 0;
  for (const exported of cases.filter(({ name }) => new RegExp(values.only).test(name))) {
    counts[exported.status]++;
    if (exported.status === 'failed' || exported.status === 'invalid')
      problems.push({ name: exported.name, export: exported.reason });
    if (exported.status !== 'exported') continue;
    const result = await check(join(root, folder, exported.name), exported.modules).catch(({ message }) => ({
      problem: message,
    }));
    counts[result.problem === undefined ? 'right' : 'wrong']++;
    if (result.problem !== undefined) {
      problems.push({ name: exported.name, problem: result.problem });
      console.log(folder, exported.name, result.problem);
      continue;
    }
    counts.modules += exported.modules;
    worstRatio = Math.max(worstRatio, result.ratio);
    for (const form of result.forms) forms[form] = (forms[form] ?? 0) + 1;
  }
  console.log(folder, JSON.stringify(counts));
  return { ...versions, counts, worstRatio, forms, problems };
}

async function check(path, modules) {
  const output = join(scratch, 'out.onnx');
  const { report } = await rewriteModel(`${path}.onnx`, output, { target: 'cpu' });
  try {
    const fused = report.modules.filter(({ status }) => status === 'fused');
    const skipped = report.modules.filter(({ status }) => status === 'skipped');
    if (fused.length !== modules || skipped.length > 0) {
      const reasons = skipped.map(({ path: of, reason, culprit }) => `${of}: ${reason} (${culprit?.opType})`);
      return { problem: `${fused.length} of ${modules} modules fused; ${reasons.join('; ')}` };
    }
    // Generated inputs of several sizes; what the export itself was fed where A and B are inputs, whose ranks must agree.
    const inputs = /adapter_inputs/.test(path) ? { inputs: `${path}.npz` } : {};
    const verification = await verifyModels(`${path}.onnx`, output, { modules: fused, ...inputs });
    if (!verification.passed || verification.unchecked.length > 0) return { problem: verification.summary };
    if (!verification.executions.includes('library')) return { problem: 'the operator library is not in use' };
    return {
      ratio: Math.max(...verification.modules.map(({ ratio }) => ratio)),
      forms: fused.map(({ form, operator, scale }) => [operator, scale, form.norm, form.delta, form.base].join(' ')),
    };
  } finally {
    await rm(output, { force: true });
  }
}
