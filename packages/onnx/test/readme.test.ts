import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeGraph, makeModel, makeNode, makeValueInfo, openModel, writeModel } from '../src/index.js';
import { fuseSilu } from './readme-example.js';

test('the example of the README is this one, and works', async () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
  expect(read('../README.md')).toContain(`\`\`\`ts\n${read('./readme-example.ts')}\`\`\``);
  const folder = mkdtempSync(join(tmpdir(), 'onnx-readme-'));
  try {
    const [input, output] = [join(folder, 'in.onnx'), join(folder, 'out.onnx')];
    const nodes = [
      makeNode('Sigmoid', ['x'], ['s']),
      makeNode('Mul', ['x', 's'], ['silu'], { name: 'mul' }),
      makeNode('Neg', ['silu'], ['y']),
    ];
    const info = (name: string) => makeValueInfo(name, 1, ['n']);
    await writeModel(
      makeModel(makeGraph('g', { inputs: [info('x')], outputs: [info('y')], nodes }), { opsets: { '': 17 } }),
      input,
    );
    expect(await fuseSilu(input, output)).toBe(1);
    await using file = await openModel(output);
    expect(file.model.graph!.node.map((node) => [node.opType, node.input, node.output])).toEqual([
      ['QuickGelu', ['x'], ['silu']],
      ['Neg', ['silu'], ['y']],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
