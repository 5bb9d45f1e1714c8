/** The tests that are quick and look at one thing each, over sources whose checks can be taken out. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { instrumented } from './instrument.mjs';
import { checksOfSources, PACKAGE, sourceName } from './sources.mjs';

const conditions = ['@ort-dora/source', 'node'];
const checks = checksOfSources().map((check, id) => ({ ...check, id }));

/** Quick ones first: once all checks are missed, nothing more is run. */
const TESTS = [
  'src/match/*.test.ts',
  'src/proofs/*.test.ts',
  'test/proof-near-misses.test.ts',
  'test/layer-near-misses.test.ts',
  'test/near-misses.test.ts',
  'test/scopes.test.ts',
  'test/cut-edges.test.ts',
];

class InOrder {
  shard(files) {
    return files;
  }

  sort(files) {
    const order = ({ moduleId }) => TESTS.findIndex((pattern) => matches(sourceName(moduleId), pattern));
    return files.toSorted((a, b) => order(a) - order(b) || (a.moduleId < b.moduleId ? -1 : 1));
  }
}

function matches(name, pattern) {
  const [before, after] = pattern.split('*');
  return after === undefined ? name === pattern : name.startsWith(before) && name.endsWith(after);
}

export default defineConfig({
  root: PACKAGE,
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  plugins: [
    {
      name: 'checks',
      enforce: 'pre',
      transform(text, id) {
        const found = checks.filter(({ file }) => file === sourceName(id));
        return found.length === 0 ? undefined : { code: instrumented(text, found), map: null };
      },
    },
  ],
  test: {
    include: TESTS,
    runner: fileURLToPath(new URL('runner.mjs', import.meta.url)),
    // One process, which remembers what has been missed.
    pool: 'forks',
    isolate: false,
    maxWorkers: 1,
    fileParallelism: false,
    sequence: { sequencer: InOrder },
    testTimeout: 600_000,
    reporters: ['dot'],
  },
});
