// `node tools/boundaries/check.mjs [ROOT]`: exits 1 and names every import that breaks the arrows.
import { root } from '../steps/workspace.mjs';
import { arrows } from './arrows.mjs';
import { violations } from './boundaries.mjs';

const found = violations(process.argv[2] ?? root, arrows);
for (const violation of found) console.error(violation);
console.error(
  found.length === 0
    ? 'boundaries: every import follows the arrows'
    : `boundaries: ${found.length} imports break the arrows`,
);
process.exitCode = found.length === 0 ? 0 : 1;
