// Adds up what the test runners reported: vitest's JSON and ctest's JUnit XML.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @typedef {{ passed: number, failed: number, skipped: number, skippedNames: string[] }} Counts */

/** The counts of every report in `folder`; undefined where there is none, as after a runner that crashed. */
export function countReports(folder) {
  if (!existsSync(folder)) return undefined;
  const reports = readdirSync(folder).filter((name) => /\.(json|xml)$/.test(name));
  if (reports.length === 0) return undefined;
  return add(
    reports.map((name) => {
      const text = readFileSync(join(folder, name), 'utf8');
      return name.endsWith('.json') ? fromVitest(JSON.parse(text)) : fromJUnit(text);
    }),
  );
}

/** @returns {Counts} the sums of several counts */
export function add(counts) {
  return {
    passed: counts.reduce((sum, each) => sum + each.passed, 0),
    failed: counts.reduce((sum, each) => sum + each.failed, 0),
    skipped: counts.reduce((sum, each) => sum + each.skipped, 0),
    skippedNames: counts.flatMap((each) => each.skippedNames),
  };
}

/** The closing line that CI reads. */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/** A file that could not be loaded has no tests of its own in vitest's report: it counts as one failure. */
function fromVitest(report) {
  const broken = report.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  const skipped = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter(({ status }) => ['skipped', 'pending', 'todo', 'disabled'].includes(status));
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: skipped.length,
    skippedNames: skipped.map(({ fullName }) => fullName),
  };
}

/** ctest writes one <testcase … status="run|fail|notrun|disabled"> an entry. */
function fromJUnit(text) {
  const cases = [...text.matchAll(/<testcase\b([^>]*)>/g)].map(([, attributes]) => ({
    name: /\bname="([^"]*)"/.exec(attributes)?.[1] ?? '',
    status: /\bstatus="([^"]*)"/.exec(attributes)?.[1] ?? 'fail',
  }));
  const skipped = cases.filter(({ status }) => status === 'notrun' || status === 'disabled');
  return {
    passed: cases.filter(({ status }) => status === 'run').length,
    failed: cases.filter(({ status }) => status === 'fail').length,
    skipped: skipped.length,
    skippedNames: skipped.map(({ name }) => name),
  };
}
