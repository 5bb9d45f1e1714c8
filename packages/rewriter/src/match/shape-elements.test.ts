import { expect, it } from 'vitest';
import { ints, op, testScope } from '../../test/support/graph.js';
import { shapeElements } from './shape-elements.js';

const axis0 = { axis: { int: 0 } };

const scope = testScope({
  inputs: { x: ['n', 's', 8], matrix: ['n', 4], integers: [4] },
  initializers: [
    ints('zero', [0]),
    ints('one', [1]),
    ints('two', [2]),
    ints('three', [3]),
    ints('minusOne', [-1]),
    ints('both', [0, 1]),
    ints('nine', [9]),
  ],
  nodes: [
    op('Shape', ['x'], 'shape'),
    op('Shape', ['x'], 'tail', { start: { int: 1 } }),
    op('Shape', ['x'], 'middle', { start: { int: 1 }, end: { int: 2 } }),
    op('Gather', ['shape', 'zero'], 'batch'),
    op('Gather', ['shape', 'minusOne'], 'features'),
    op('Gather', ['shape', 'both'], 'leading'),
    op('Gather', ['shape', 'nine'], 'outside'),
    op('Gather', ['shape', 'zero'], 'columns', { axis: { int: 1 } }),
    op('Slice', ['shape', 'zero', 'two'], 'sliced'),
    op('Slice', ['shape', 'zero', 'two', 'zero', 'one'], 'slicedPlainly'),
    op('Slice', ['shape', 'zero', 'three', 'zero', 'two'], 'everyOther'),
    op('Slice', ['shape', 'zero', 'two', 'one'], 'slicedAcross'),
    op('Slice', ['shape', 'both', 'two'], 'slicedFromTwo'),
    op('Slice', ['shape', 'zero', 'both'], 'slicedToTwo'),
    op('Unsqueeze', ['batch', 'zero'], 'unsqueezed'),
    op('Concat', ['sliced', 'nine'], 'joined', axis0),
    op('Concat', ['sliced', 'integers'], 'joinedWithUnknown', axis0),
    op('Shape', ['nothing'], 'shapeOfUnknown'),
    op('Mul', ['shape', 'two'], 'doubled'),
    op('Shape', ['x'], 'foreign', {}, 'lib'),
    ...Array.from({ length: 17 }, (_, step) =>
      op('Identity', [step === 0 ? 'shape' : `deep${step}`], `deep${step + 1}`),
    ),
    op('Concat', Array<string>(22).fill('shape'), 'long', axis0),
    op('Concat', Array<string>(21).fill('shape'), 'longest', axis0),
  ],
});

const n = { kind: 'size', of: 'x', axis: 0 };
const s = { kind: 'size', of: 'x', axis: 1 };
const number = (value: number) => ({ kind: 'number', value });

it.each([
  ['shape', [n, s, number(8)]],
  ['tail', [s, number(8)]],
  ['middle', [s]],
  ['batch', [n]],
  ['features', [number(8)]],
  ['leading', [n, s]],
  ['sliced', [n, s]],
  ['slicedPlainly', [n, s]],
  ['unsqueezed', [n]],
  ['joined', [n, s, number(9)]],
  ['nine', [number(9)]],
  ['deep15', [n, s, number(8)]],
])('%s', (value, expected) => {
  expect(shapeElements(scope, value)).toEqual(expected);
});

it('has as many elements as shapes may have', () => {
  expect(shapeElements(scope, 'longest')).toHaveLength(63);
});

it.each([
  'outside',
  'columns',
  'everyOther',
  'slicedAcross',
  'slicedFromTwo',
  'slicedToTwo',
  'joinedWithUnknown',
  'shapeOfUnknown',
  'doubled',
  'foreign',
  'integers',
  'deep17',
  'long',
])('%s is not known', (value) => {
  expect(shapeElements(scope, value)).toBeUndefined();
});
