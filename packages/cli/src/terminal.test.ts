import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { painter, startProgress } from './terminal.js';

// The test runner's own surroundings do not count.
beforeEach(() => {
  vi.stubEnv('NO_COLOR', '');
  vi.stubEnv('TERM', 'xterm');
});
afterEach(() => vi.unstubAllEnvs());

function sink(isTTY: boolean) {
  const parts: string[] = [];
  return { isTTY, columns: 60, write: (part: string) => parts.push(part), text: () => parts.join('') };
}

test('off a terminal, progress is one plain line for each new thing', () => {
  const out = sink(false);
  const progress = startProgress(out);
  progress.update('fusing a', 0.1);
  progress.update('fusing a', 0.2, 'a part');
  progress.update('fusing b\nc', 0.5);
  progress.end();
  expect(out.text()).toBe('fusing a\nfusing b c\n');
});

test('off a terminal, what takes long says how fast it goes every ten seconds', () => {
  const out = sink(false);
  let seconds = 0;
  const progress = startProgress(out, () => 1000 * seconds);
  for (; seconds < 25; seconds++)
    progress.update('norms of 9 modules', seconds / 25, `layer ${seconds}`, `${seconds} MB/s`);
  progress.update('writing');
  expect(out.text()).toBe(
    'norms of 9 modules\nnorms of 9 modules: 40 %, 10 MB/s\nnorms of 9 modules: 80 %, 20 MB/s\nwriting\n',
  );
});

test('on a terminal, progress is a bar redrawn in place and taken away at the end', () => {
  const out = sink(true);
  const progress = startProgress(out);
  progress.update(`fusing ${'x'.repeat(200)}`, 0.5);
  expect(out.text()).toContain('━'.repeat(12) + '─'.repeat(12));
  expect(out.text().replaceAll('\r', '').replaceAll('\u001b[2K', '').length).toBeLessThanOrEqual(60);
  progress.end();
  expect(out.text().endsWith('\r\u001b[2K')).toBe(true);
  expect(out.text()).not.toContain('\n');
});

test('colours are for terminals', () => {
  expect(painter(sink(false))('red', 'no')).toBe('no');
  expect(painter(sink(true))('red', 'no')).toBe('\u001b[31mno\u001b[0m');
});

test('NO_COLOR and a dumb terminal have none', () => {
  vi.stubEnv('NO_COLOR', '1');
  expect(painter(sink(true))('red', 'no')).toBe('no');
  vi.stubEnv('NO_COLOR', '');
  vi.stubEnv('TERM', 'dumb');
  expect(painter(sink(true))('red', 'no')).toBe('no');
});
