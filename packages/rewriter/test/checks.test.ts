/**
 * Checks of the matcher, taken out at random: without each, a test fails. All of them: `npm run test:checks -w
 * @ort-dora/rewriter`.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const RUN = fileURLToPath(new URL('checks/run.mjs', import.meta.url));

it('every check is needed', { timeout: 300_000 }, () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [RUN, '--sample', '40'], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^40 of \d+ checks: 40 are missed by a test/);
});
