// A command's wall time and peak memory, and what a result says of where it was made.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const cli = join(root, 'packages/cli/bin/ort-dora.js');

/**
 * Runs a command to its end under GNU time.
 * @param {string[]} command
 * @param {{ seconds?: number, folder?: string }} [limits] `seconds`: when to kill it; `folder`: where it runs
 * @returns {{ seconds: number, peakMegabytes: number, failure?: string, output: string }} megabytes are 10^6 bytes;
 *   `failure` is the last line that it wrote, or that its time was over
 */
export function measured(command, { seconds = 600, folder = root } = {}) {
  const scratch = mkdtempSync(join(tmpdir(), 'measured-'));
  const log = join(scratch, 'time');
  const limited = ['-f', '%e %M', '-o', log, 'timeout', '-k', '5', `${seconds}`, ...command];
  const { status, stdout, stderr } = spawnSync('/usr/bin/time', limited, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const [wall, kilobytes] = readFileSync(log, 'utf8').trim().split('\n').at(-1).split(' ').map(Number);
  rmSync(scratch, { recursive: true });
  const result = { seconds: wall, peakMegabytes: Math.round(kilobytes * 1.024e-3), output: stdout };
  if (status === 124 || status === 137) return { ...result, failure: `killed (after ${Math.round(wall)} s)` };
  return status === 0 ? result : { ...result, failure: lastLine(stderr) || lastLine(stdout) || `exit code ${status}` };
}

/** Writes benchmarks/results/`name`.json with the commit, the machine and the day. */
export function writeResult(name, command, figures) {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  const machine = { cpu: cpus()[0].model, cores: cpus().length, node: process.version };
  const result = { name, command, commit, date: new Date().toISOString(), machine, ...figures };
  writeFileSync(join(root, 'benchmarks/results', `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {number} value */
export function rounded(value, digits = 2) {
  return Number(value.toFixed(digits));
}

function lastLine(text) {
  return text.trim().split('\n').at(-1);
}
