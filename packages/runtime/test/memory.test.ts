// The short form of the soak (`npm run soak`): enough runs that a leak of one output each would show.
import { beforeAll, expect, test } from 'vitest';
import { increment } from './support/models.js';
import { buildRuntime, modelFile, runProgram } from './support/programs.js';

beforeAll(buildRuntime, 120_000);

test('20 000 runs and 200 sessions leave memory where it was', async () => {
  const argument = { model: modelFile('increment', increment()), runs: 20_000, cycles: 200 };
  const { code, stdout, stderr } = await runProgram('memory.js', argument, { flags: ['--expose-gc'] });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { runs, cycles } = JSON.parse(stdout) as { runs: number; cycles: number };
  // Megabytes. An output of 8 KB lost each time would be 80 after half of the runs; a session, some 50 KB, 5 after half of the cycles.
  expect(runs).toBeLessThan(8);
  expect(cycles).toBeLessThan(5);
}, 120_000);
