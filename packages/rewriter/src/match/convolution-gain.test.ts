import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { matchConvolutionGain } from './convolution-gain.js';

const inputs = { unknownSizes: ['o', 'i', 'h', 'w'] };
const initializers = [
  floats('W', [4, 2, 3, 3]),
  floats('Wide', [4, 3, 3, 3]),
  floats('W3', [4, 18, 1]),
  floats('A', [2, 2, 3, 3]),
  floats('B', [4, 2, 1, 1]),
  floats('At', [18, 2]),
  floats('square', [4, 4, 1, 1]),
  floats('squareWeight', [4, 4, 1, 1]),
  floats('D', [4, 2, 3, 3]),
  floats('m', [1, 4, 1, 1]),
  floats('s', [], [2]),
  floats('bias', [18]),
  ints('rows2', [2, -1]),
  ints('rows4', [4, -1]),
  ints('manyRows', [-1, 18]),
  ints('turnedRows', [18, 4]),
  ints('shape', [4, 2, 3, 3]),
  ints('oblong', [4, 3, 3, 2]),
  ints('square4', [4, 4, 1, 1]),
  ints('inner', [1, 2, 3]),
  ints('outer', [0, 2, 3]),
  ints('all', [0, 1, 2, 3]),
  ints('negative', [-1, -2, -3]),
];

const swap = { perm: { ints: [1, 0, 2, 3] } };

interface Parts {
  readonly delta?: readonly ReturnType<typeof op>[];
  readonly norm?: readonly ReturnType<typeof op>[];
  readonly sum?: ReturnType<typeof op>;
  readonly gain?: ReturnType<typeof op>;
  readonly declared?: Readonly<Record<string, readonly number[]>>;
}

const factors = [op('Reshape', ['B', 'rows4'], 'b'), op('Reshape', ['A', 'rows2'], 'a')];
const delta = [...factors, op('MatMul', ['b', 'a'], 'ba'), op('Reshape', ['ba', 'shape'], 'D1')];
const reduce = (more = {}, axes = 'inner', of = 'sum') => op('ReduceL2', [of, axes], 'n', more);
const turn = op('Transpose', ['n'], 'nt', swap);

/** The gain of a convolution, with some of its parts replaced. */
function match(parts: Parts = {}, value = 'g') {
  const nodes = [
    ...(parts.delta ?? delta),
    op('Mul', ['D1', 's'], 'scaled'),
    parts.sum ?? op('Add', ['W', 'scaled'], 'sum'),
    ...(parts.norm ?? [reduce(), turn]),
    parts.gain ?? op('Div', ['m', 'nt'], 'g'),
  ];
  return matchConvolutionGain(testScope({ inputs, initializers, nodes, declared: parts.declared ?? {} }), value);
}

const trace = (value: string) => ({ value, transposed: false });

describe('matchConvolutionGain', () => {
  it.each<[string, Parts]>([
    ['what PEFT writes', {}],
    ['axes from the end', { norm: [reduce({}, 'negative'), turn] }],
    ['a Gemm', { delta: [...factors, op('Gemm', ['b', 'a'], 'ba'), delta[3]!] }],
    [
      'flattened factors',
      { delta: [op('Flatten', ['B'], 'b'), op('Flatten', ['A'], 'a'), op('MatMul', ['b', 'a'], 'ba'), delta[3]!] },
    ],
    ['the terms of the sum swapped', { sum: op('Add', ['scaled', 'W'], 'sum') }],
  ])('takes %s', (_, parts) => {
    expect(match(parts)).toMatchObject({
      matched: true,
      value: {
        magnitude: 'm',
        scaling: 2,
        weight: trace('W'),
        delta: { kind: 'factors', loraA: { source: 'A' }, loraB: { source: 'B' } },
      },
    });
  });

  it('takes a folded D', () => {
    const sum = op('Add', ['W', 'scaledD'], 'sum');
    expect(match({ delta: [op('Mul', ['D', 's'], 'scaledD'), ...delta], sum })).toMatchObject({
      matched: true,
      value: { delta: { kind: 'constant', matrix: { source: 'D' } } },
    });
  });

  const shape = /does not have the shape \[1, out, 1…\]/;
  const axes = /not taken over all axes but the outputs/;
  it.each<[string, Parts, RegExp]>([
    ['a product', { gain: op('Mul', ['m', 'nt'], 'g') }, /not a quotient/],
    ['no norm at all', { gain: op('Div', ['m', 'm'], 'g') }, shape],
    ['a norm that is not turned', { gain: op('Div', ['m', 'n'], 'g') }, shape],
    ['another operator with a permutation', { norm: [reduce(), op('Pad', ['n'], 'nt', swap)] }, shape],
    ['an untouched order', { norm: [reduce(), op('Transpose', ['n'], 'nt', { perm: { ints: [0, 1, 2, 3] } })] }, shape],
    ['a sum of magnitudes', { norm: [op('ReduceL1', ['sum', 'inner'], 'n'), turn] }, /not the plain norm/],
    ['the norm of nothing', { norm: [op('Transpose', ['m'], 'nt', swap)] }, /not the plain norm/],
    ['an output among the axes', { norm: [reduce({}, 'outer'), turn] }, axes],
    ['all axes', { norm: [reduce({}, 'all'), turn] }, axes],
    ['a dropped axis', { norm: [reduce({ keepdims: { int: 0 } }), turn] }, axes],
    ['a value of unknown rank', { norm: [reduce({}, 'inner', 'nothing'), turn] }, axes],
    [
      'a permutation of fewer axes',
      { norm: [reduce(), op('Transpose', ['n'], 'nt', { perm: { ints: [1, 0, 2] } })] },
      axes,
    ],
    ['the norm of W alone', { norm: [reduce({}, 'inner', 'W'), turn] }, /not a sum/],
    ['a difference', { sum: op('Sub', ['W', 'scaled'], 'sum') }, /not a sum/],
    ['a W of another size', { sum: op('Add', ['Wide', 'scaled'], 'sum') }, /W's shape/],
    ['a W of other axes', { sum: op('Add', ['W3', 'scaled'], 'sum') }, /axes but the outputs|W's shape/],
    [
      'sizes of which none is known',
      {
        delta: [op('MatMul', ['unknownSizes', 'unknownSizes'], 'D1')],
        sum: op('Add', ['unknownSizes', 'scaled'], 'sum'),
      },
      /W's shape/,
    ],
    [
      'terms of unknown rank',
      {
        delta: [op('MatMul', ['nobody', 'nobody'], 'D1')],
        sum: op('Add', ['nothing', 'scaled'], 'sum'),
        declared: { sum: [4, 2, 3, 3] },
      },
      /W's shape/,
    ],
    ['a W of unknown sizes', { sum: op('Add', ['unknownSizes', 'scaled'], 'sum') }, /W's shape/],
    [
      'a bias in the product',
      { delta: [...factors, op('Gemm', ['b', 'a', 'bias'], 'ba'), delta[3]!] },
      /dense B·A adds a bias/,
    ],
    [
      'a second factor that is transposed',
      { delta: [...factors, op('Gemm', ['b', 'At'], 'ba', { transB: { int: 1 } }), delta[3]!] },
      /transposes a factor/,
    ],
    [
      'a product in the shape of its transpose',
      { delta: [...factors, op('MatMul', ['b', 'a'], 'ba'), op('Reshape', ['ba', 'oblong'], 'D1')] },
      /W's shape/,
    ],
    [
      'an activation of the product',
      { delta: [...factors, op('MatMul', ['b', 'a'], 'bare'), op('Relu', ['bare'], 'ba'), delta[3]!] },
      /found Relu/,
    ],
  ])('refuses %s', (_, parts, reason) => {
    expect(match(parts)).toMatchObject({ matched: false, reason: expect.stringMatching(reason) });
  });

  it.each([
    ['the first', { transA: { int: 1 } }],
    ['the second', { transB: { int: 1 } }],
  ])('refuses a square B·A of which %s factor is transposed', (_, attributes) => {
    const square = [
      op('Reshape', ['square', 'rows4'], 'b'),
      op('Gemm', ['b', 'b'], 'ba', attributes),
      op('Reshape', ['ba', 'square4'], 'D1'),
    ];
    const sum = op('Add', ['squareWeight', 'scaled'], 'sum');
    expect(match({ delta: square, sum })).toMatchObject({
      matched: false,
      reason: 'the dense B·A transposes a factor',
    });
  });

  it('refuses a value that is not computed', () => {
    expect(match({}, 'm')).toMatchObject({ matched: false, reason: expect.stringMatching(/not a quotient/) });
  });

  it('does not follow a factor through what mixes its rows', () => {
    for (const mixed of [
      op('Reshape', ['At', 'rows2'], 'a'),
      op('Flatten', ['A'], 'a', { axis: { int: 2 } }),
      op('Reshape', ['unknownSizes', 'manyRows'], 'a'),
    ]) {
      const parts = { delta: [factors[0]!, mixed, ...delta.slice(2)] };
      expect(match(parts)).toMatchObject({ value: { delta: { loraA: { source: 'a' } } } });
    }
  });
});
