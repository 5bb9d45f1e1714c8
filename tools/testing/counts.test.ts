import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closingLine, countReports } from './counts.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ort-dora-counts-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('a runner that left no report counts as nothing known', () => {
  expect(countReports(join(folder, 'missing'))).toBeUndefined();
  mkdirSync(join(folder, 'empty'));
  expect(countReports(join(folder, 'empty'))).toBeUndefined();
});

test('vitest and ctest reports add up, skipped tests by name, a broken file as a failure', () => {
  writeFileSync(
    join(folder, 'vitest.json'),
    JSON.stringify({
      numPassedTests: 3,
      numFailedTests: 1,
      testResults: [
        { status: 'failed', assertionResults: [] },
        { status: 'passed', assertionResults: [{ status: 'skipped', fullName: 'CUDA graphs need a GPU' }] },
      ],
    }),
  );
  writeFileSync(
    join(folder, 'ctest.xml'),
    `<?xml version="1.0"?><testsuite tests="3">
      <testcase name="scale" classname="scale" time="0.1" status="run"></testcase>
      <testcase name="linear" classname="linear" time="0.1" status="fail"><failure message=""/></testcase>
      <testcase name="gpu" classname="gpu" time="0" status="notrun"><skipped message="SKIP"/></testcase></testsuite>`,
  );
  const counts = countReports(folder)!;
  expect(counts).toEqual({ passed: 4, failed: 3, skipped: 2, skippedNames: ['gpu', 'CUDA graphs need a GPU'] });
  expect(closingLine(counts)).toBe('4 passed, 3 failed, 2 skipped');
});
