import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { matchDelta, matchFoldedDelta } from './delta.js';

const transA = { transA: { int: 1 } };
const turn = { perm: { ints: [1, 0] } };

const scope = testScope({
  inputs: { x: [3, 4] },
  initializers: [
    floats('A', [2, 4]),
    floats('B', [3, 2]),
    floats('Bt', [2, 3]),
    floats('At', [4, 2]),
    floats('D', [3, 4]),
    floats('row', [4]),
    floats('column', [3]),
    ints('shape', [4, 4]),
  ],
  nodes: [
    op('MatMul', ['B', 'A'], 'direct'),
    op('Gemm', ['B', 'A'], 'directGemm'),
    op('Gemm', ['B', 'A', 'row'], 'biased'),
    op('Gemm', ['Bt', 'A'], 'turned', transA),
    op('ConstantOfShape', ['shape'], 'zeros'),
    op('EyeLike', ['zeros'], 'eye'),
    op('MatMul', ['eye', 'At'], 'dense'),
    op('MatMul', ['dense', 'Bt'], 'denseBoth'),
    op('Transpose', ['denseBoth'], 'throughEye', turn),
    op('Gemm', ['eye', 'At', 'column'], 'denseBiased'),
    op('MatMul', ['denseBiased', 'Bt'], 'throughBiased'),
    op('Gemm', ['eye', 'At'], 'denseTurned', transA),
    op('MatMul', ['denseTurned', 'Bt'], 'throughTurned'),
    op('Gemm', ['B', 'A'], 'weighted', { alpha: { float: 2 } }),
    op('MatMul', ['weighted', 'row'], 'ofWeighted'),
    op('Relu', ['B'], 'active'),
    op('MatMul', ['active', 'A'], 'ofActive'),
    op('Relu', ['direct'], 'activeDelta'),
    op('Transpose', ['D'], 'Dt', turn),
    op('Cast', ['Dt'], 'rounded', { to: { int: 10 } }),
    op('Transpose', ['rounded'], 'turnedTwice', turn),
  ],
});

describe('matchDelta', () => {
  it.each([
    ['direct', { loraA: { value: 'A', transposed: false }, loraB: { value: 'B' }, eye: undefined }],
    ['directGemm', { loraA: { value: 'A' }, loraB: { value: 'B' } }],
    [
      'throughEye',
      { loraA: { value: 'At', transposed: true }, loraB: { value: 'Bt', transposed: true }, eye: { size: 4 } },
    ],
    // A factor may be anything: whether it is B is proved later.
    ['ofActive', { loraA: { value: 'A' }, loraB: { value: 'active' } }],
  ])('takes %s', (value, expected) => {
    expect(matchDelta(scope, value)).toMatchObject({ matched: true, value: expected });
  });

  it.each([
    ['biased', 'the dense B·A adds a bias'],
    ['turned', 'the Gemm of the dense B·A transposes its first factor'],
    ['throughBiased', 'the dense A adds a bias'],
    ['throughTurned', 'the identity matrix is transposed'],
    ['ofWeighted', "the Gemm's alpha is not 1"],
    ['activeDelta', 'expected a MatMul or Gemm, found Relu'],
    ['x', '"x" is not computed by a matrix product'],
  ])('refuses %s', (value, reason) => {
    expect(matchDelta(scope, value)).toMatchObject({ matched: false, reason });
  });
});

describe('matchFoldedDelta', () => {
  it('follows transposes and casts', () => {
    const matrix = { source: 'D', transposed: true };
    expect(matchFoldedDelta(scope, 'rounded')).toMatchObject({ value: { kind: 'constant', matrix } });
    expect(matchFoldedDelta(scope, 'turnedTwice')).toMatchObject({ value: { matrix: { transposed: false } } });
  });

  it('refuses what is computed', () => {
    expect(matchFoldedDelta(scope, 'direct')).toMatchObject({ matched: false, reason: '"direct" is not a constant' });
  });
});
