import { describe, expect, it } from 'vitest';
import { floats, op, testScope } from '../../test/support/graph.js';
import { matchComposition } from './composition.js';

const head = [
  op('Sub', ['g', 'one'], 'excess'),
  op('Mul', ['excess', 'u'], 'baseTerm'),
  op('Mul', ['g', 'l'], 'gained'),
  op('Mul', ['gained', 's'], 'loraTerm'),
];
const inputs = { y0: ['n', 3], u: ['n', 3], l: ['n', 3], g: [1, 3], other: [1, 3] };
const initializers = [
  floats('one', [], [1]),
  floats('two', [], [2]),
  floats('s', [], [0.5]),
  floats('gain', [1, 3], [2, 3, 4]),
  floats('gainLessOne', [1, 3], [1, 2, 3]),
];

function match(...nodes: ReturnType<typeof op>[]) {
  const scope = testScope({ inputs, initializers, nodes });
  return matchComposition(scope, scope.producer('y')!);
}

const expected = { base: 'y0', baseTerm: 'u', lora: 'l', gain: 'g', excess: { kind: 'computed' }, scaling: 0.5 };

describe('matchComposition', () => {
  it('takes what PEFT writes', () => {
    const result = match(...head, op('Add', ['baseTerm', 'loraTerm'], 'sum'), op('Add', ['y0', 'sum'], 'y'));
    expect(result).toMatchObject({ matched: true, value: expected });
  });

  it('takes sums and products in any order', () => {
    const result = match(
      op('Sub', ['g', 'one'], 'excess'),
      op('Mul', ['u', 'excess'], 'baseTerm'),
      op('Mul', ['s', 'l'], 'scaled'),
      op('Mul', ['scaled', 'g'], 'loraTerm'),
      op('Add', ['loraTerm', 'y0'], 'sum'),
      op('Add', ['baseTerm', 'sum'], 'y'),
    );
    expect(result).toMatchObject({ matched: true, value: expected });
  });

  it('takes constants for g and g − 1, to be proved', () => {
    const result = match(
      op('Mul', ['gainLessOne', 'u'], 'baseTerm'),
      op('Mul', ['gain', 'l'], 'loraTerm'),
      op('Add', ['baseTerm', 'loraTerm'], 'sum'),
      op('Add', ['y0', 'sum'], 'y'),
    );
    expect(result).toMatchObject({
      value: { gain: 'gain', excess: { kind: 'constant', value: 'gainLessOne' }, scaling: 1 },
    });
  });

  it.each([
    [
      'a constant g − 1 beside a computed g',
      [op('Mul', ['gainLessOne', 'u'], 'baseTerm'), ...head.slice(2), op('Add', ['baseTerm', 'loraTerm'], 'sum')],
      /not scaled by g − 1/,
    ],
    [
      'a computed g − 1 beside a constant g',
      [
        op('Abs', ['other'], 'excess'),
        head[1]!,
        op('Mul', ['gain', 'l'], 'loraTerm'),
        op('Add', ['baseTerm', 'loraTerm'], 'sum'),
      ],
      /not scaled by g − 1/,
    ],
    [
      'a scaled base term',
      [op('Mul', ['baseTerm', 's'], 'more'), op('Add', ['more', 'loraTerm'], 'sum')],
      /\(g − 1\)·u/,
    ],
    [
      'an adapter term of three factors',
      [op('Mul', ['loraTerm', 'other'], 'more'), op('Add', ['baseTerm', 'more'], 'sum')],
      /g·ℓ·s/,
    ],
    [
      'an adapter term without g',
      [op('Mul', ['other', 'l'], 'more'), op('Add', ['baseTerm', 'more'], 'sum')],
      /another g/,
    ],
  ])('refuses %s', (_, nodes, reason) => {
    expect(match(...head, ...nodes, op('Add', ['y0', 'sum'], 'y'))).toMatchObject({
      matched: false,
      reason: expect.stringMatching(reason),
    });
  });

  it('refuses another number than 1 and names the node', () => {
    const result = match(
      op('Sub', ['g', 'two'], 'excess'),
      ...head.slice(1),
      op('Add', ['baseTerm', 'loraTerm'], 'sum'),
      op('Add', ['y0', 'sum'], 'y'),
    );
    expect(result).toMatchObject({ matched: false, culprit: { name: 'excess' } });
  });

  it('refuses any other sum', () => {
    expect(match(op('Add', ['y0', 'u'], 'y'))).toMatchObject({ matched: false, depth: 0 });
    expect(match(op('Mul', ['y0', 'u'], 'y'))).toMatchObject({
      matched: false,
      reason: expect.stringContaining('Mul'),
    });
  });
});
