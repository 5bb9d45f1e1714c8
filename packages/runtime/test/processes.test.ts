// Ends of processes and workers while runs are in flight: clean, soon, and with the exit code that was asked for.
import { beforeAll, describe, expect, test } from 'vitest';
import { increment, slow, testOperator, twice } from './support/models.js';
import { buildRuntime, modelFile, runProgram, testOpsLibrary } from './support/programs.js';

let library: string;
let interruptible: object;
let stubborn: object;
beforeAll(async () => {
  [library] = await Promise.all([testOpsLibrary(), buildRuntime()]);
  interruptible = { model: modelFile('slow60', slow(60)) };
  stubborn = { model: modelFile('sleep', testOperator('Sleep')), library, milliseconds: 500 };
}, 120_000);

const ENDS = [
  { way: 'exit', code: 5, signal: null, stderr: /^$/ },
  { way: 'throw', code: 1, signal: null, stderr: /on purpose/ },
  { way: 'disposeAndExit', code: 5, signal: null, stderr: /^$/ },
  { way: 'sigterm', code: null, signal: 'SIGTERM', stderr: /^$/ },
  { way: 'end', code: 6, signal: null, stderr: /^$/ },
  { way: 'mainExitsUnderWorker', code: 7, signal: null, stderr: /^$/ },
  { way: 'workerExits', code: 8, signal: null, stderr: /^$/ },
] as const;

describe('a process that ends during runs', () => {
  test.each(ENDS)(
    'of many kernels: $way',
    async ({ way, ...end }) => {
      const { code, signal, stderr } = await runProgram('leave.js', { ...interruptible, way });
      expect({ code, signal, stderr }).toEqual({ ...end, stderr: expect.stringMatching(end.stderr) });
    },
    60_000,
  );

  test.each(ENDS)(
    'of one kernel that nothing interrupts: $way',
    async ({ way, ...end }) => {
      const { code, signal, stderr } = await runProgram('leave.js', { ...stubborn, way });
      expect({ code, signal, stderr }).toEqual({ ...end, stderr: expect.stringMatching(end.stderr) });
    },
    60_000,
  );

  test('waits two seconds for such a kernel, and no longer', async () => {
    const argument = { ...stubborn, milliseconds: 30_000, way: 'exit' };
    const { code, signal, stderr, milliseconds } = await runProgram('leave.js', argument);
    expect({ code, signal, stderr }).toEqual({ code: 5, signal: null, stderr: '' });
    expect(milliseconds).toBeLessThan(10_000);
  }, 60_000);

  test('at any moment, while small runs come and go', async () => {
    const argument = { model: modelFile('increment', increment()) };
    for (let i = 0; i < 10; i++) {
      const outcomes = await Promise.all([1, 2].map(() => runProgram('exit-storm.js', argument)));
      for (const { code, signal, stderr } of outcomes) {
        expect({ code, signal, stderr }).toEqual({ code: 9, signal: null, stderr: '' });
      }
    }
  }, 60_000);
});

describe('workers', () => {
  test('terminated while they load', async () => {
    const argument = { model: modelFile('slow', slow(400)), count: 20 };
    const { code, signal, stdout, stderr } = await runProgram('terminate-while-loading.js', argument);
    expect({ code, signal, stdout, stderr }).toEqual({ code: 0, signal: null, stdout: 'done\n', stderr: '' });
  }, 60_000);

  test('run beside the main thread', async () => {
    const argument = { model: modelFile('twice', twice()), library };
    const { code, stdout, stderr } = await runProgram('workers-and-main.js', argument);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '2.5,4.5,6.5,8.5,10.5\n', stderr: '' });
  }, 60_000);
});
