// The test suites of the whole project, in the order in which they run.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { nxEnvironment } from '../setup/setup.mjs';
import { run } from '../steps/steps.mjs';
import { root } from '../steps/workspace.mjs';
import { add, countReports } from './counts.mjs';

const packages = ['onnx', 'adapters', 'runtime', 'rewriter', 'verify', 'vlm', 'server', 'cli'];

/** Each suite: a title, and `run()`, which returns its counts. */
export const suites = [
  { title: 'format and lint', run: () => check('biome', ['biome', 'ci', '.']) },
  { title: 'types of the tests', run: () => check('tsc', ['tsc', '-p', 'tsconfig.tests.json']) },
  ...['custom-ops', ...packages.map((name) => `packages/${name}`)].map((folder) => ({
    title: folder,
    run: () => project(folder),
  })),
  { title: 'tools and end to end', run: tools },
];

/** A command without tests of its own: it passes or fails as one. */
async function check(name, args) {
  const code = await run(name, 'npx', ['--no-install', ...args], { show: true, allowFailure: true });
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0, skippedNames: [] };
}

/** One workspace project through Nx, which replays an unchanged one's result from its cache. */
async function project(folder) {
  const name = folder.replaceAll('/', '-');
  const projectName = folder === 'packages/cli' ? 'ort-dora' : `@ort-dora/${folder.split('/').at(-1)}`;
  rmSync(join(root, folder, 'reports'), { recursive: true, force: true });
  const code = await run(
    `test-${name}`,
    'npx',
    ['--no-install', 'nx', 'run', `${projectName}:test`, '--outputStyle=stream'],
    {
      show: true,
      allowFailure: true,
      env: nxEnvironment,
    },
  );
  return honest(code, countReports(join(root, folder, 'reports')), folder);
}

async function tools() {
  const reports = join(root, 'tools', 'reports');
  rmSync(reports, { recursive: true, force: true });
  const code = await run('test-tools', 'npx', ['--no-install', 'vitest', 'run', 'tools/'], {
    show: true,
    allowFailure: true,
    env: { ORT_DORA_REPORTS: reports },
  });
  return honest(code, countReports(reports), 'tools');
}

/** A runner that failed without a failed test to show for it is itself one failure. */
function honest(code, counts, name) {
  const none = { passed: 0, failed: 0, skipped: 0, skippedNames: [] };
  if (code === 0 && counts) return counts;
  if (counts && counts.failed > 0) return counts;
  console.error(`${name}: the test runner ended with exit code ${code}${counts ? '' : ' and left no report'}`);
  return add([counts ?? none, { ...none, failed: 1 }]);
}
