import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeModel, makeFunction, makeGraph, makeModel } from '@ort-dora/onnx';
import { expect, test } from 'vitest';
import { operatorsLeftToBodies } from './cpu-bodies.js';

const model = (...functions: readonly [domain: string, name: string, overload: string][]) =>
  encodeModel(
    makeModel(makeGraph('empty', { outputs: [], nodes: [] }), {
      opsets: { '': 20, 'ort.dora': 1 },
      functions: functions.map(([domain, name, overload]) =>
        makeFunction(domain, name, { overload, inputs: ['x'], outputs: ['x'], nodes: [], opsets: { '': 20 } }),
      ),
    }),
  );

test.each([
  ['no functions', model(), []],
  ['float32', model(['ort.dora', 'DoraLinear', 'float32_float32_w1a1b1']), ['DoraLinear']],
  [
    'two forms in float32',
    model(['ort.dora', 'DoraLinear', 'float32_a'], ['ort.dora', 'DoraLinear', 'float32_b']),
    ['DoraLinear'],
  ],
  ['float16', model(['ort.dora', 'DoraLinear', 'float16_float32_w1a1b1']), []],
  ['both', model(['ort.dora', 'DoraLinear', 'float32_a'], ['ort.dora', 'DoraLinear', 'bfloat16_b']), []],
  ['another operator', model(['ort.dora', 'DoraCompose', 'float32_a']), []],
  ['another domain', model(['other', 'DoraLinear', 'float32_a']), []],
  ['a form that is not named', model(['ort.dora', 'DoraLinear', '']), []],
  ['no model', new Uint8Array([0xff, 0xff, 1, 2, 3]), []],
])('%s', async (_, bytes, expected) => {
  expect(await operatorsLeftToBodies(bytes)).toEqual(expected);
  const folder = mkdtempSync(join(tmpdir(), 'ort-dora-bodies-'));
  try {
    writeFileSync(join(folder, 'model.onnx'), bytes);
    expect(await operatorsLeftToBodies(join(folder, 'model.onnx'))).toEqual(expected);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('other providers have kernels of their own', async () => {
  const bytes = model(['ort.dora', 'DoraLinear', 'float32_float32_w1a1b1']);
  expect(await operatorsLeftToBodies(bytes, [{ name: 'cuda' }])).toEqual([]);
});

test('a file that is not there is none of its business', async () => {
  expect(await operatorsLeftToBodies('/nowhere.onnx')).toEqual([]);
});
