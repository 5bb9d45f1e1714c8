/**
 * Shows that every check of the matcher is needed: without it, a test fails.
 *
 *     npm run test:checks -w @ort-dora/rewriter -- [--sample N [--seed S]] [--file TEXT]
 *
 * `--sample` takes N checks at random, `--file` those of files whose name holds TEXT. Checks that no test can miss are
 * listed in equivalent.mjs, with the reason. Exits 1 where another one is not missed, or where that list says too much.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { EQUIVALENT } from './equivalent.mjs';
import { checksOfSources, PACKAGE } from './sources.mjs';

const { values } = parseArgs({
  options: {
    sample: { type: 'string' },
    seed: { type: 'string', default: '1' },
    file: { type: 'string', default: '' },
  },
});

const checks = checksOfSources().map((check, id) => ({ ...check, id }));
const listed = new Map(checks.map((check) => [check.id, EQUIVALENT.find((entry) => isOf(entry, check))]));
const asked = sampled(checks.filter(({ file }) => file.includes(values.file)));
const missed = runWithout(asked.map(({ id }) => id));

const problems = [
  ...EQUIVALENT.filter((entry) => !checks.some((check) => isOf(entry, check))).map(
    ({ file, within, check }) => `${file}: ${within}: there is no check "${check}": take it off equivalent.mjs`,
  ),
  ...asked.flatMap((check) => {
    const test = missed.get(check.id);
    if (listed.get(check.id) === undefined) return test === undefined ? [`${described(check)}: no test misses it`] : [];
    return test === undefined ? [] : [`${described(check)}: "${test}" misses it: take it off equivalent.mjs`];
  }),
];
for (const problem of problems) console.error(problem);
const without = asked.filter(({ id }) => listed.get(id) !== undefined).length;
console.log(`${asked.length} of ${checks.length} checks: ${missed.size} are missed by a test, ${without} cannot be`);
process.exitCode = problems.length > 0 ? 1 : 0;

function isOf(entry, { file, within, text, forced }) {
  return entry.file === file && entry.within === within && entry.check === text && entry.taken === forced;
}

function described({ file, line, within, text, forced }) {
  return `${file}:${line}: ${within}: "${text}" taken for ${forced}`;
}

/** N checks at random that tests can miss, the same ones for one seed; all where no number is given. */
function sampled(all) {
  if (values.sample === undefined) return all;
  let state = Number(values.seed) >>> 0;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return all
    .filter(({ id }) => listed.get(id) === undefined)
    .map((check) => ({ check, order: random() }))
    .sort((a, b) => a.order - b.order)
    .slice(0, Number(values.sample))
    .map(({ check }) => check);
}

/** Runs the tests without each of some checks; which test missed which check, by its number. */
function runWithout(ids) {
  const folder = mkdtempSync(join(tmpdir(), 'ort-dora-checks-'));
  try {
    const [wanted, found] = [join(folder, 'wanted.json'), join(folder, 'missed.json')];
    writeFileSync(wanted, JSON.stringify(ids));
    const vitest = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs');
    const config = fileURLToPath(new URL('vitest.config.mjs', import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [vitest, 'run', '--config', config], {
      cwd: PACKAGE,
      encoding: 'utf8',
      env: { ...process.env, ORT_DORA_CHECKS: wanted, ORT_DORA_MISSED: found },
    });
    if (status !== 0) throw new Error(`the tests fail with all checks in place:\n${stdout}\n${stderr}`);
    return new Map(JSON.parse(readFileSync(found, 'utf8')));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
