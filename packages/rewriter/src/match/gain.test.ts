import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { matchGain } from './gain.js';

const initializers = [
  floats('W', [3, 4]),
  floats('A', [2, 4]),
  floats('B', [3, 2]),
  floats('At', [4, 2]),
  floats('Bt', [2, 3]),
  floats('D', [3, 4]),
  floats('m', [3]),
  floats('mRow', [1, 3]),
  floats('s', [], [2]),
  ints('row', [1, -1]),
  ints('rowCube', [1, -1, 1]),
  ints('column', [-1, 1]),
  ints('axis', [1]),
  ints('axis0', [0]),
  ints('last', [-1]),
  ints('axes', [0, 1]),
];

function match(...nodes: ReturnType<typeof op>[]) {
  const scope = testScope({ initializers, nodes });
  return matchGain(scope, nodes.at(-1)!.output[0]!);
}

const norm = (delta: string, axes = 'axis', more = {}) => [
  op('Mul', ['s', delta], 'scaled'),
  op('Add', ['scaled', 'W'], 'sum'),
  op('ReduceL2', ['sum', axes], 'n', { keepdims: { int: 0 }, ...more }),
];
const tail = [op('Div', ['m', 'n'], 'quotient'), op('Reshape', ['quotient', 'row'], 'g')];
const direct = op('MatMul', ['B', 'A'], 'BA');

describe('matchGain', () => {
  it('takes B·A as it is', () => {
    expect(match(direct, ...norm('BA'), ...tail)).toMatchObject({
      matched: true,
      value: {
        magnitude: 'm',
        scaling: 2,
        weight: { value: 'W', transposed: false },
        delta: { kind: 'factors', eye: undefined, loraA: { value: 'A', transposed: false }, loraB: { value: 'B' } },
      },
    });
  });

  it('takes the transpose of Aᵀ·Bᵀ', () => {
    const nodes = [op('MatMul', ['At', 'Bt'], 'AB'), op('Transpose', ['AB'], 'BA', { perm: { ints: [1, 0] } })];
    expect(match(...nodes, ...norm('BA', 'last'), ...tail)).toMatchObject({
      value: { delta: { loraA: { value: 'At', transposed: true }, loraB: { value: 'Bt', transposed: true } } },
    });
  });

  it('takes a folded D', () => {
    expect(match(...norm('D'), ...tail)).toMatchObject({
      value: { scaling: 2, weight: { value: 'W' }, delta: { kind: 'constant', matrix: { source: 'D' } } },
    });
  });

  it('takes a row by Unsqueeze', () => {
    expect(match(direct, ...norm('BA'), tail[0]!, op('Unsqueeze', ['quotient', 'axis0'], 'g'))).toMatchObject({
      matched: true,
    });
  });

  it.each([
    ['a norm over the outputs', [direct, ...norm('BA', 'axis0'), ...tail], /over the inputs/],
    [
      'a norm that keeps its axis',
      [direct, ...norm('BA', 'axis', { keepdims: { int: 1 } }), ...tail],
      /over the inputs/,
    ],
    ['a norm of W alone', [op('ReduceL2', ['W', 'axis'], 'n', { keepdims: { int: 0 } }), ...tail], /not a sum/],
    [
      'another reduction',
      [op('ReduceSum', ['W', 'axis'], 'n', { keepdims: { int: 0 } }), ...tail],
      /not the plain norm/,
    ],
    ['a magnitude that is no vector', [direct, ...norm('BA'), op('Div', ['mRow', 'n'], 'g')], /not a vector/],
    [
      'a column',
      [direct, ...norm('BA'), tail[0]!, op('Reshape', ['quotient', 'column'], 'g')],
      /not reshaped to a row/,
    ],
    [
      'a row of three axes',
      [direct, ...norm('BA'), tail[0]!, op('Reshape', ['quotient', 'rowCube'], 'g')],
      /not reshaped to a row/,
    ],
    [
      'a column by Unsqueeze',
      [direct, ...norm('BA'), tail[0]!, op('Unsqueeze', ['quotient', 'axis'], 'g')],
      /to a row/,
    ],
    [
      'two axes by Unsqueeze',
      [direct, ...norm('BA'), tail[0]!, op('Unsqueeze', ['quotient', 'axes'], 'g')],
      /to a row/,
    ],
    ['a product instead of a quotient', [direct, ...norm('BA'), op('Mul', ['m', 'n'], 'g')], /not a quotient/],
  ])('refuses %s', (_, nodes, reason) => {
    expect(match(...nodes)).toMatchObject({ matched: false, reason: expect.stringMatching(reason) });
  });
});
