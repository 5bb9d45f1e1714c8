import { DataType } from '@ort-dora/onnx';
import { expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';

const scope = testScope({
  inputs: { x: ['batch', 'seq', 8], row: [8] },
  initializers: [
    floats('w', [8, 6]),
    floats('scale', [1, 6]),
    ints('split', [0, -1, 2, 3]),
    ints('last', [-1]),
    ints('target', [4, 1, 6]),
  ],
  nodes: [
    op('LayerNormalization', ['x', 'row'], 'normed', { axis: { int: -1 } }),
    op('MatMul', ['normed', 'w'], 'product'),
    op('Mul', ['product', 'scale'], 'scaled'),
    op('Reshape', ['scaled', 'split'], 'heads'),
    op('Transpose', ['heads'], 'turned', { perm: { ints: [0, 2, 1, 3] } }),
    op('Unsqueeze', ['row', 'last'], 'column'),
    op('Squeeze', ['column', 'last'], 'again'),
    op('ReduceMean', ['x', 'last'], 'mean'),
    op('Gather', ['w', 'last'], 'gathered'),
    op('Concat', ['w', 'w'], 'joined', { axis: { int: 1 } }),
    op('Gemm', ['w', 'w'], 'gemm', { transA: { int: 1 } }),
    op('Expand', ['scale', 'target'], 'expanded'),
    op('Shape', ['x'], 'shape'),
    op('Equal', ['row', 'row'], 'equal'),
    op('MatMul', ['row', 'w'], 'vector'),
    op('Cast', ['equal'], 'cast', { to: { int: DataType.FLOAT16 } }),
    op('SomethingNew', ['x'], 'unknown'),
  ],
});

it.each([
  ['normed', DataType.FLOAT, [undefined, undefined, 8]],
  ['product', DataType.FLOAT, [undefined, undefined, 6]],
  ['scaled', DataType.FLOAT, [undefined, undefined, 6]],
  ['heads', DataType.FLOAT, [undefined, undefined, 2, 3]],
  ['turned', DataType.FLOAT, [undefined, 2, undefined, 3]],
  ['column', DataType.FLOAT, [8, 1]],
  ['again', DataType.FLOAT, [8]],
  ['mean', DataType.FLOAT, [undefined, undefined, 1]],
  ['gathered', DataType.FLOAT, [1, 6]],
  ['joined', DataType.FLOAT, [8, 12]],
  ['gemm', DataType.FLOAT, [6, 6]],
  ['expanded', DataType.FLOAT, [4, 1, 6]],
  ['shape', DataType.INT64, [3]],
  ['equal', DataType.BOOL, [8]],
  ['cast', DataType.FLOAT16, [8]],
  // Products of vectors are left open: their rank is what must not be guessed.
  ['vector', DataType.FLOAT, undefined],
  ['unknown', undefined, undefined],
])('%s', (value, type, shape) => {
  expect(scope.elementType(value)).toBe(type);
  expect(scope.shape(value)).toEqual(shape);
});
