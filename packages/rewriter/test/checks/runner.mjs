/**
 * Runs each test as it is, and again without each check that it decides and that no test before has missed. A test that
 * then fails is the proof that the check is needed.
 *
 * ORT_DORA_CHECKS names the file that says which checks are asked for, and ORT_DORA_MISSED the one for what came of it.
 */
import { setMaxListeners } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { TestRunner } from 'vitest';
import { checksOfSources } from './sources.mjs';

/** A run without a check may ask this many times more often than with it, or it is taken to run forever. */
const RUNAWAY = 10;
const NONE = -1;

/** One for all test files, whose modules are loaded anew for each. */
globalThis.__checks ??= {
  forced: checksOfSources().map(({ forced }) => forced),
  wanted: new Set(JSON.parse(readFileSync(process.env.ORT_DORA_CHECKS, 'utf8'))),
  missed: new Map(),
  removed: NONE,
  asked: 0,
  limit: Number.POSITIVE_INFINITY,
  decided: new Set(),
};
const state = globalThis.__checks;

/** What instrumented sources call: the value of a condition, unless its check is taken out. */
globalThis.__check ??= (id, value) => {
  if (++state.asked > state.limit) throw new Error('runs forever');
  if (state.removed === id) return state.forced[id];
  if (state.removed === NONE && Boolean(value) !== state.forced[id]) state.decided.add(id);
  return value;
};

export default class ChecksRunner extends TestRunner {
  async runTask(test) {
    if (state.wanted.size === 0) return;
    // One run after another listens to the signal of one test.
    setMaxListeners(0, test.context.signal);
    const run = TestRunner.getTestFn(test);
    const { decided, asked } = await withAll(run);
    for (const id of decided.filter((id) => state.wanted.has(id))) {
      if (await passesWithout(id, asked, run)) continue;
      state.wanted.delete(id);
      state.missed.set(id, `${test.file.name} > ${test.name}`);
    }
  }

  onAfterRunFiles() {
    super.onAfterRunFiles();
    writeFileSync(process.env.ORT_DORA_MISSED, JSON.stringify([...state.missed]));
  }
}

/** Runs a test with all checks; which of them it decides. */
async function withAll(run) {
  Object.assign(state, { removed: NONE, asked: 0, limit: Number.POSITIVE_INFINITY, decided: new Set() });
  await run();
  return { decided: [...state.decided], asked: state.asked };
}

/** Whether a test passes without one check. */
async function passesWithout(id, asked, run) {
  Object.assign(state, { removed: id, asked: 0, limit: RUNAWAY * (asked + 1000) });
  try {
    await run();
    return true;
  } catch {
    return false;
  } finally {
    Object.assign(state, { removed: NONE, limit: Number.POSITIVE_INFINITY });
  }
}
