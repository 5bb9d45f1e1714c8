import { DataType, makeTensor } from '@ort-dora/onnx';
import { expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { constantScalar } from './scalar.js';

const scope = testScope({
  inputs: { given: [] },
  initializers: [
    floats('scalar', [], [0.1]),
    floats('one element', [1], [2.5]),
    floats('matrix', [1, 1], [2.5]),
    floats('vector', [2]),
    ints('one', [1]),
    ints('three', [3]),
    ints('square', [1, 1]),
    makeTensor('half', DataType.FLOAT16, [], Uint16Array.of(0x3e00)),
    makeTensor('integer', DataType.INT64, [], BigInt64Array.of(1n)),
  ],
  nodes: [
    op('Cast', ['integer'], 'cast', { to: { int: DataType.FLOAT } }),
    op('Cast', ['scalar'], 'rounded to float16', { to: { int: DataType.FLOAT16 } }),
    op('Cast', ['scalar'], 'rounded to bfloat16', { to: { int: DataType.BFLOAT16 } }),
    op('Cast', ['scalar'], 'widened', { to: { int: DataType.DOUBLE } }),
    op('Cast', ['scalar'], 'cut to an integer', { to: { int: DataType.INT64 } }),
    op('Expand', ['node', 'one'], 'expanded'),
    op('Expand', ['node', 'three'], 'expanded to three'),
    op('Constant', [], 'node', { value_float: { float: 0.5 } }),
    op('Identity', ['node'], 'behind'),
    op('Expand', ['node', 'square'], 'expanded to a matrix'),
    op('Relu', ['scalar'], 'computed', { to: { int: DataType.FLOAT16 } }),
    ...[0, 1, 2, 3, 4].map((step) =>
      op('Cast', [step === 0 ? 'scalar' : `cast ${step}`], `cast ${step + 1}`, {
        to: { int: step % 2 === 0 ? DataType.DOUBLE : DataType.FLOAT },
      }),
    ),
  ],
});

it.each([
  ['scalar', Math.fround(0.1)],
  ['one element', 2.5],
  ['half', 1.5],
  ['cast', 1],
  ['node', 0.5],
  ['behind', 0.5],
  ['rounded to float16', 0.0999755859375],
  ['rounded to bfloat16', 0.10009765625],
  ['widened', Math.fround(0.1)],
  ['expanded', 0.5],
  ['cast 4', Math.fround(0.1)],
])('%s is %d', (value, expected) => {
  expect(constantScalar(scope, value)).toBe(expected);
});

it.each([
  // Broadcasting it would add axes.
  'matrix',
  'vector',
  'given',
  'expanded to three',
  'expanded to a matrix',
  'computed',
  // Chains of casts are followed so far and no farther.
  'cast 5',
  'cut to an integer',
])('%s is no constant', (value) => {
  expect(constantScalar(scope, value)).toBeUndefined();
});
