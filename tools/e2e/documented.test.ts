// The commands that the documentation shows are run, and what they print is what the documentation says.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../steps/workspace.mjs';

const PAGES = ['README.md'];

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'ort-dora-documented-'));
  symlinkSync(join(root, 'models'), join(work, 'models'));
});
afterAll(() => rmSync(work, { recursive: true }));

describe.each(PAGES)('%s', (page) => {
  const sessions = consoleBlocks(readFileSync(join(root, page), 'utf8'));

  test('shows at least one command', () => expect(sessions.length).toBeGreaterThan(0));

  test.each(sessions)('$command', ({ command, output }) => {
    const bin = join(root, 'node_modules', '.bin');
    const { stdout, stderr } = spawnSync('bash', ['-c', command.replaceAll('npx ort-dora', 'ort-dora')], {
      cwd: work,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` },
    });
    const printed = masked(`${stdout}${stderr}`);
    for (const line of output) expect(printed).toContain(masked(line).trim());
  });
});

/** The commands of every ```console block, each with the lines that are shown below it; `…` stands for left-out lines. */
function consoleBlocks(markdown: string): { command: string; output: string[] }[] {
  return [...markdown.matchAll(/^```console\n(.*?)^```/gms)].flatMap(([, block]) =>
    block!
      .split(/^\$ /m)
      .slice(1)
      .map((session) => {
        const [command, ...output] = session.trimEnd().split('\n');
        return { command: command!, output: output.filter((line) => line.trim() !== '' && line.trim() !== '…') };
      }),
  );
}

/** Figures differ between machines and runs, column widths with them. */
function masked(text: string): string {
  return text
    .replace(/[\d.]+(e[+-]?\d+)?/g, '#')
    .replace(/ +/g, ' ')
    .replace(/─+/g, '─');
}
