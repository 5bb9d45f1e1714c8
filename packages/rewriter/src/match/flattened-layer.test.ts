import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { matchFlattenedLayer } from './flattened-layer.js';

const axis0 = { axis: { int: 0 } };

const scope = testScope({
  inputs: {
    x: ['n', 's', 4],
    z: ['n', 's', 4],
    fixed: [2, 3, 4],
    matrix: ['n', 4],
    vector: [4],
    open: ['n', 's', 'f'],
  },
  initializers: [
    floats('W', [4, 3]),
    floats('b', [3]),
    floats('Wsmall', [2, 3]),
    ints('flat', [-1, 4]),
    ints('flatSmall', [-1, 2]),
    ints('row', [1, 4]),
    ints('out', [3]),
    ints('four', [4]),
    ints('two', [2]),
    ints('zero', [0]),
    ints('one', [1]),
    ints('back', [2, 3, 3]),
    ints('backOpen', [2, -1, 3]),
    ints('otherBack', [3, 2, 3]),
    ints('otherLast', [2, 3, 4]),
    ints('backMatrix', [6, 3]),
  ],
  nodes: [
    op('Reshape', ['x', 'flat'], 'rows'),
    op('Gemm', ['rows', 'W', 'b'], 'gemm'),
    op('MatMul', ['rows', 'W'], 'product'),
    op('Shape', ['x'], 'shape'),
    op('Slice', ['shape', 'zero', 'two'], 'leading'),
    op('Gather', ['shape', 'zero'], 'batch'),
    op('Gather', ['shape', 'one'], 'sequence'),
    op('Shape', ['z'], 'shapeOfZ'),
    op('Slice', ['shapeOfZ', 'zero', 'two'], 'leadingOfZ'),
    op('Concat', ['leading', 'out'], 'target', axis0),
    op('Concat', ['leading', 'four'], 'targetOfOthers', axis0),
    op('Concat', ['leadingOfZ', 'out'], 'targetOfZ', axis0),
    op('Concat', ['sequence', 'batch', 'out'], 'targetSwapped', axis0),
    op('Concat', ['batch', 'two', 'out'], 'targetHalf', axis0),
    op('Reshape', ['gemm', 'target'], 'y'),
    op('Reshape', ['product', 'target'], 'ofProduct'),
    op('Reshape', ['gemm', 'targetOfOthers'], 'otherFeatures'),
    op('Reshape', ['gemm', 'targetOfZ'], 'ofAnother'),
    op('Reshape', ['gemm', 'targetSwapped'], 'swapped'),
    op('Reshape', ['gemm', 'targetHalf'], 'half'),
    op('Reshape', ['gemm', 'backMatrix'], 'fewerAxes'),
    op('Gemm', ['vector', 'W', 'b'], 'unflattened'),
    op('Relu', ['x'], 'active'),
    op('Gemm', ['active', 'W'], 'ofActive'),
    op('Reshape', ['fixed', 'flat'], 'fixedRows'),
    op('Gemm', ['fixedRows', 'W'], 'fixedGemm'),
    op('Reshape', ['fixedGemm', 'back'], 'fixedY'),
    op('Reshape', ['fixedGemm', 'backOpen'], 'openY'),
    op('Reshape', ['fixedGemm', 'otherBack'], 'otherY'),
    op('Reshape', ['fixedGemm', 'otherLast'], 'otherLastY'),
    op('Reshape', ['matrix', 'flat'], 'matrixRows'),
    op('Gemm', ['matrixRows', 'W'], 'matrixY'),
    op('Reshape', ['fixed', 'flatSmall'], 'moreRows'),
    op('Gemm', ['moreRows', 'Wsmall'], 'split'),
    op('Reshape', ['vector', 'row'], 'vectorRow'),
    op('Gemm', ['vectorRow', 'W'], 'vectorY'),
    op('Reshape', ['open', 'flat'], 'openRows'),
    op('Gemm', ['openRows', 'W'], 'openGemm'),
    op('Reshape', ['nothing', 'flat'], 'unknownRows'),
    op('Gemm', ['unknownRows', 'W'], 'unknownGemm'),
    op('Identity', ['gemm'], 'passed'),
    op('Transpose', ['gemm', 'target'], 'turned'),
    op('Gemm', ['rows', 'weight'], 'ofUnknownWeight'),
    op('Reshape', ['ofUnknownWeight', 'target'], 'unknownWeight'),
    op('Gemm', ['openRows', 'weight'], 'openBoth'),
    op('Reshape', ['gemm', 'leading'], 'cutShort'),
  ],
});

describe('matchFlattenedLayer', () => {
  it.each([
    ['y', { x: 'x', form: 'Reshape+Gemm+bias', bias: 'b', weight: { value: 'W', transposed: true } }],
    ['fixedY', { x: 'fixed', form: 'Reshape+Gemm' }],
    ['matrixY', { x: 'matrix', form: 'Reshape+Gemm' }],
  ])('takes %s', (value, expected) => {
    expect(matchFlattenedLayer(scope, value)).toMatchObject({ matched: true, value: expected });
  });

  const back = /not proved to be reshaped to the leading axes/;
  const sizes = /is not known to be \[\.\.\., /;
  it.each([
    ['ofProduct', /the reshaped layer is no Gemm/],
    ['otherFeatures', back],
    ['ofAnother', back],
    ['swapped', back],
    ['half', back],
    ['fewerAxes', back],
    ['cutShort', back],
    ['openY', back],
    ['otherY', back],
    ['otherLastY', back],
    // Its own result, of which only the rows of a matrix are the rows of x.
    ['gemm', back],
    ['fixedGemm', back],
    ['unflattened', /not flattened/],
    ['ofActive', /not flattened/],
    ['split', sizes],
    ['vectorY', sizes],
    ['openGemm', sizes],
    ['unknownGemm', sizes],
    ['unknownWeight', sizes],
    ['openBoth', sizes],
    ['turned', /found Transpose/],
    ['x', /not the result of a linear layer/],
  ])('refuses %s', (value, reason) => {
    expect(matchFlattenedLayer(scope, value)).toMatchObject({
      matched: false,
      reason: expect.stringMatching(reason),
    });
  });
});
