import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../steps/workspace.mjs';
import { pages } from './page.mjs';

test.each([...pages()])('%s is what the results say', (path, content) => {
  expect(readFileSync(join(root, path), 'utf8')).toBe(content);
});
