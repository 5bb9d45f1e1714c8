import { expect, test } from 'vitest';
import { bytes, count, table } from './table.js';

test('columns are aligned, numbers to the right, empty columns left out', () => {
  const lines = table(
    [
      { name: 'q_proj', rank: 8, note: '' },
      { name: 'a', rank: 128, note: '' },
    ],
    [
      { title: 'MODULE', value: ({ name }) => name },
      { title: 'NOTE', value: ({ note }) => note },
      { title: 'RANK', align: 'right', value: ({ rank }) => String(rank) },
    ],
  );
  expect(lines).toEqual(['MODULE  RANK', 'q_proj     8', 'a        128']);
});

test('a name from a file cannot start a new line or move the cursor', () => {
  const lines = table([{ name: 'a\n\u001b[2Jb' }], [{ title: 'MODULE', value: ({ name }) => name }]);
  expect(lines[1]).toBe('a \ufffd[2Jb');
});

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1_250_746, '1.25 MB'],
  [999_999, '1.00 MB'],
  [-2_000_000_000, '−2.00 GB'],
])('%d bytes are %s', (number, text) => expect(bytes(number)).toBe(text));

test('one module, two modules', () => {
  expect([count(1, 'module'), count(2, 'module')]).toEqual(['1 module', '2 modules']);
});
