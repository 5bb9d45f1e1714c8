// The README's example, as it stands there.
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { sumAndProduct } from './support/models.js';
import { buildRuntime, modelFile } from './support/programs.js';

test('the example runs a model', async () => {
  await buildRuntime();
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const example = /```js\n([^`]*createSession\(process.argv\[2\]\)[^`]*)```/.exec(readme)?.[1];
  const model = modelFile('two', sumAndProduct());
  const program = model.replace(/\.onnx$/, '.mjs');
  writeFileSync(program, example!);
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, model]);
  expect({ stdout, stderr }).toEqual({
    stdout:
      'sum float32 [ 3, 4 ] Float32Array(4) [ 2, 2, 2, 2 ]\nprod float32 [ 3, 4 ] Float32Array(4) [ 1, 1, 1, 1 ]\n',
    stderr: '',
  });
}, 60_000);
