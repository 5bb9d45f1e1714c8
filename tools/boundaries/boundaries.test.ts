import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const check = fileURLToPath(new URL('check.mjs', import.meta.url));
const fixture = fileURLToPath(new URL('fixture', import.meta.url));

function run(...args: string[]) {
  const { status, stderr } = spawnSync(process.execPath, [check, ...args], { encoding: 'utf8' });
  return { status, lines: stderr.trim().split('\n') };
}

test('the workspace follows the arrows', () => {
  expect(run()).toEqual({ status: 0, lines: ['boundaries: every import follows the arrows'] });
});

test('the fixture breaks every rule once, and each is named', () => {
  const { status, lines } = run(fixture);
  expect(status).toBe(1);
  expect(lines).toEqual([
    'packages/stray: no arrows are given for it: add it to tools/boundaries/arrows.mjs',
    "packages/onnx/src/index.ts: imports '@ort-dora/rewriter': packages/onnx may import no other package",
    "packages/rewriter/src/index.ts: imports '@ort-dora/onnx/src/secret.js' past the surface of packages/onnx: its package.json exports no './src/secret.js'",
    "packages/rewriter/src/index.ts: imports '../../onnx/src/index.js', which lies outside packages/rewriter: import the package instead",
    "packages/rewriter/src/index.ts: imports '@ort-dora/runtime': packages/rewriter may import packages/onnx, packages/adapters",
    "packages/runtime/src/index.ts: imports '@ort-dora/custom-ops', which its package.json does not list",
    'boundaries: 6 imports break the arrows',
  ]);
});
