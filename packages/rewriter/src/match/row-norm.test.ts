import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { matchRowNorm } from './row-norm.js';

const initializers = [
  floats('X', [3, 4]),
  floats('Y', [3, 4]),
  floats('two', [], [2]),
  floats('three', [], [3]),
  floats('half', [], [0.5]),
  floats('third', [], [1 / 3]),
  ints('columns', [1]),
  ints('last', [-1]),
  ints('rows', [0]),
  ints('both', [0, 1]),
  ints('swapped', [1, 0]),
];
const drop = { keepdims: { int: 0 } };

function match(...nodes: ReturnType<typeof op>[]) {
  return matchRowNorm(testScope({ initializers, nodes }), nodes.at(-1)!.output[0]!);
}

const squares = (opType: string, ...inputs: string[]) => op(opType, inputs, 'squares');
const sum = op('ReduceSum', ['squares', 'columns'], 'sum', drop);
const root = op('Sqrt', ['sum'], 'n');

describe('matchRowNorm', () => {
  it.each([
    ['ReduceL2', [op('ReduceL2', ['X', 'columns'], 'n', drop)]],
    ['ReduceL2 with axes as attribute', [op('ReduceL2', ['X'], 'n', { ...drop, axes: { ints: [1] } })]],
    ['the last axis', [op('ReduceL2', ['X', 'last'], 'n', drop)]],
    ['|X|', [op('Abs', ['X'], 'a'), op('ReduceL2', ['a', 'columns'], 'n', drop)]],
    ['ReduceSumSquare', [op('ReduceSumSquare', ['X', 'columns'], 'sum', drop), root]],
    ['X·X', [squares('Mul', 'X', 'X'), sum, root]],
    ['X²', [squares('Pow', 'X', 'two'), sum, root]],
    ['|X|²', [op('Abs', ['X'], 'a'), squares('Pow', 'a', 'two'), sum, root]],
    ['a power of a half', [squares('Mul', 'X', 'X'), sum, op('Pow', ['sum', 'half'], 'n')]],
    [
      'a root in float64',
      [
        squares('Mul', 'X', 'X'),
        sum,
        op('Cast', ['sum'], 'wide', { to: { int: 11 } }),
        op('Sqrt', ['wide'], 'root'),
        op('Cast', ['root'], 'n', { to: { int: 1 } }),
      ],
    ],
  ] as const)('takes %s', (_, nodes) => {
    expect(match(...nodes)).toMatchObject({ matched: true, value: { operand: 'X' } });
  });

  const plain = /not the plain norm/;
  const overInputs = /not taken over the inputs/;
  it.each([
    ['ReduceL1', [op('ReduceL1', ['X', 'columns'], 'n', drop)], plain],
    ['the other axis', [op('ReduceL2', ['X', 'rows'], 'n', drop)], overInputs],
    ['the Frobenius norm', [op('ReduceL2', ['X', 'both'], 'n', drop)], overInputs],
    ['all axes', [op('ReduceL2', ['X'], 'n', drop)], overInputs],
    ['a kept axis', [op('ReduceL2', ['X', 'columns'], 'n')], overInputs],
    ['the other axis of squares', [op('ReduceSumSquare', ['X', 'rows'], 'sum', drop), root], overInputs],
    ['X·Y', [squares('Mul', 'X', 'Y'), sum, root], plain],
    ['X³', [squares('Pow', 'X', 'three'), sum, root], plain],
    ['another power of the sum', [squares('Mul', 'X', 'X'), sum, op('Pow', ['sum', 'third'], 'n')], plain],
    ['a sum without squares', [op('ReduceSum', ['X', 'columns'], 'sum', drop), root], plain],
    [
      'a sum of X·X without a root',
      [squares('Mul', 'X', 'X'), op('ReduceSum', ['squares', 'columns'], 'n', drop)],
      plain,
    ],
    [
      'a product with a half instead of a root',
      [squares('Mul', 'X', 'X'), sum, op('Mul', ['sum', 'half'], 'n')],
      plain,
    ],
    ['X + 2 instead of X²', [squares('Add', 'X', 'two'), sum, root], plain],
    ['the Frobenius norm, the inputs first', [op('ReduceL2', ['X', 'swapped'], 'n', drop)], overInputs],
    ['a mean', [squares('Mul', 'X', 'X'), op('ReduceMean', ['squares', 'columns'], 'sum', drop), root], plain],
    [
      'a floor below the root',
      [squares('Mul', 'X', 'X'), sum, op('Max', ['sum', 'half'], 'floor'), op('Sqrt', ['floor'], 'n')],
      plain,
    ],
  ] as const)('refuses %s', (_, nodes, reason) => {
    expect(match(...nodes)).toMatchObject({ matched: false, reason: expect.stringMatching(reason) });
  });
});
