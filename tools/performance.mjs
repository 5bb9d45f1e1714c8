// `node tools/performance.mjs`: writes docs/performance.md and its pictures from benchmarks/results.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pages } from './performance/page.mjs';
import { root } from './steps/workspace.mjs';

for (const [path, content] of pages()) {
  writeFileSync(join(root, path), content);
  console.log(path);
}
