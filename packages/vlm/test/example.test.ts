import { readFile } from 'node:fs/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { FIXTURES, TINY } from './recorded.js';

const EXAMPLE = new URL('../examples/ask.mjs', import.meta.url);
const { argv } = process;
afterEach(() => {
  process.argv = argv;
});

it('is what the README shows', async () => {
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8');
  expect(readme).toContain(`\`\`\`js\n${await readFile(EXAMPLE, 'utf8')}\`\`\``);
});

it('runs', async () => {
  process.argv = ['node', 'ask.mjs', TINY, `${FIXTURES}files/rgb.png`, 'What is this?'];
  const written: string[] = [];
  const stdout = vi.spyOn(process.stdout, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  const log = vi.spyOn(console, 'log').mockImplementation((...values) => written.push(values.map(String).join(' ')));
  await import('../examples/ask.mjs');
  stdout.mockRestore();
  log.mockRestore();
  expect(written.length).toBeGreaterThan(3);
  expect(written.at(-1)).toMatch(/length|stop/);
});
