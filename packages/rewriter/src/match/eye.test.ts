import { DataType, makeTensor } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { matchEye } from './eye.js';

const counter = (name: string, dims: readonly number[]) =>
  makeTensor(
    name,
    DataType.UINT16,
    dims,
    Uint16Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, (_, index) => index),
  );

const scope = testScope({
  inputs: { x: [3, 3], symbolic: ['n', 'n'], symbols: ['n', 1], symbolRow: ['n'] },
  initializers: [
    ints('shape', [4, 4]),
    ints('oblong', [4, 3]),
    ints('four', [4]),
    ints('axis', [1]),
    makeTensor('n', DataType.INT64, [], BigInt64Array.of(4n)),
    makeTensor('zero', DataType.INT64, [], BigInt64Array.of(0n)),
    makeTensor('one', DataType.INT64, [], BigInt64Array.of(1n)),
    makeTensor('big', DataType.INT64, [], BigInt64Array.of(300n)),
    counter('column', [4, 1]),
    counter('row', [4]),
    counter('longer', [5]),
    counter('rowMatrix', [1, 4]),
    counter('countedMatrix', [4, 4]),
    counter('wide', [4, 2]),
    counter('columnCube', [4, 1, 1]),
    counter('rowCube', [1, 1, 4]),
    ints('cube', [4, 4, 2]),
    ints('asColumn', [4, 1]),
    ...[-4n, 5n, 2n].map((value, index) =>
      makeTensor(['minusFour', 'five', 'two'][index]!, DataType.INT64, [], BigInt64Array.of(value)),
    ),
    floats('half', [], [0.5]),
    floats('threeAxes', [4, 4, 2]),
    makeTensor('stored', DataType.BOOL, [4, 4], new Uint8Array(16)),
    floats('flat', [4, 5]),
    floats('ones', [1], [1]),
    floats('twos', [1], [2]),
    floats('none', [], [0]),
  ],
  nodes: [
    op('ConstantOfShape', ['shape'], 'zeros'),
    op('EyeLike', ['zeros'], 'eyeLike'),
    op('EyeLike', ['zeros'], 'shifted', { k: { int: -1 } }),
    op('ConstantOfShape', ['oblong'], 'zeros2'),
    op('EyeLike', ['zeros2'], 'oblongEye'),
    // The legacy exporter without folding builds the shape from its parts.
    op('Unsqueeze', ['n', 'zero'], 'part'),
    op('Concat', ['part', 'part'], 'built', { axis: { int: 0 } }),
    op('ConstantOfShape', ['built'], 'zeros3'),
    op('EyeLike', ['zeros3'], 'builtEye'),
    op('Equal', ['column', 'row'], 'equal'),
    op('Cast', ['equal'], 'equalEye', { to: { int: DataType.FLOAT } }),
    op('Equal', ['column', 'longer'], 'mismatched'),
    op('Range', ['zero', 'n', 'one'], 'range'),
    op('Cast', ['range'], 'range8', { to: { int: DataType.UINT8 } }),
    op('Unsqueeze', ['range8', 'axis'], 'rangeColumn'),
    op('Equal', ['rangeColumn', 'range8'], 'rangeEye'),
    op('Range', ['one', 'n', 'one'], 'fromOne'),
    op('Unsqueeze', ['fromOne', 'axis'], 'fromOneColumn'),
    op('Equal', ['fromOneColumn', 'fromOne'], 'fromOneEye'),
    op('Range', ['zero', 'big', 'one'], 'bigRange'),
    op('Cast', ['bigRange'], 'wrapped', { to: { int: DataType.UINT8 } }),
    op('Unsqueeze', ['wrapped', 'axis'], 'wrappedColumn'),
    op('Equal', ['wrappedColumn', 'wrapped'], 'wrappedEye'),
    op('Cast', ['stored'], 'storedEye', { to: { int: DataType.FLOAT } }),
    op('Relu', ['x'], 'activation'),
    // torch.onnx before 2.7 chooses ones and zeros by the comparison.
    op('EyeLike', ['symbolic'], 'symbolicEye'),
    op('ConstantOfShape', ['cube'], 'zerosCube'),
    op('EyeLike', ['zerosCube'], 'cubeEye'),
    op('Equal', ['row', 'column'], 'equalTurned'),
    op('Equal', ['column', 'rowMatrix'], 'equalMatrices'),
    op('Equal', ['column', 'countedMatrix'], 'wholeMatrix'),
    op('Equal', ['columnCube', 'row'], 'columnOfThreeAxes'),
    op('Equal', ['column', 'rowCube'], 'rowOfThreeAxes'),
    op('Equal', ['wide', 'row'], 'wideColumn'),
    op('Equal', ['symbols', 'symbolRow'], 'symbolicEqual'),
    op('Neg', ['row'], 'negated'),
    op('Equal', ['column', 'negated'], 'negatedEye'),
    ...[
      ['FromMinusFour', 'minusFour', 'n', 'two'],
      ['ToFive', 'zero', 'five', 'one'],
      ['ByHalves', 'zero', 'n', 'half'],
    ].flatMap(([name = '', ...inputs]) => [
      op('Range', inputs, `range${name}`),
      op('Reshape', [`range${name}`, 'asColumn'], `column${name}`),
      op('Equal', [`column${name}`, 'row'], `eye${name}`),
    ]),
    op('Cast', ['equal'], 'text', { to: { int: DataType.STRING } }),
    op('Cast', ['text'], 'fromText', { to: { int: DataType.FLOAT } }),
    op('Where', ['equal', 'ones', 'none'], 'chosenEye'),
    op('Where', ['equal', 'none', 'ones'], 'invertedEye'),
    op('Where', ['equal', 'ones', 'ones'], 'chosenOnes'),
    op('Where', ['equal', 'twos', 'none'], 'chosenTwos'),
    op('Where', ['mismatched', 'ones', 'none'], 'chosenMismatched'),
  ],
});

describe('matchEye', () => {
  it.each([
    ['eyeLike', { kind: 'eyeLike', size: 4 }],
    ['builtEye', { kind: 'eyeLike', size: 4 }],
    ['equalEye', { kind: 'equalEye', size: 4, counters: [{ name: 'column' }, { name: 'row' }] }],
    ['rangeEye', { kind: 'equalEye', size: 4, counters: [] }],
    ['storedEye', { kind: 'constantEye', size: 4 }],
    ['chosenEye', { kind: 'equalEye', size: 4 }],
    ['equalTurned', { kind: 'equalEye', size: 4 }],
    ['equalMatrices', { kind: 'equalEye', size: 4 }],
  ])('%s', (value, expected) => {
    expect(matchEye(scope, value)).toMatchObject({ matched: true, value: expected });
  });

  it.each<readonly [string, RegExp]>([
    ['shifted', /diagonal -1/],
    ['oblongEye', /not a known square/],
    ['mismatched', /not a column and a row of one length/],
    ['fromOneEye', /does not count from 0/],
    // In uint8, 256 counts as 0 again: two ones in a row.
    ['wrappedEye', /cannot count to 299/],
    ['flat', /not a square matrix/],
    ['threeAxes', /not a square matrix/],
    ['symbolicEye', /not a known square/],
    ['cubeEye', /not a known square/],
    ...['wholeMatrix', 'columnOfThreeAxes', 'rowOfThreeAxes', 'wideColumn', 'symbolicEqual'].map(
      (name) => [name, /not a column and a row of one length/] as const,
    ),
    ...['eyeFromMinusFour', 'eyeToFive', 'eyeByHalves'].map((name) => [name, /does not count from 0 by 1/] as const),
    ['negatedEye', /"negated" is not a constant counter/],
    ['fromText', /found Cast/],
    ['invertedEye', /does not choose between 1 and 0/],
    ['chosenOnes', /does not choose between 1 and 0/],
    ['chosenTwos', /does not choose between 1 and 0/],
    ['chosenMismatched', /not a column and a row of one length/],
    ['activation', /found Relu/],
    ['x', /not an identity matrix/],
  ])('refuses %s', (value, reason) => {
    expect(matchEye(scope, value)).toMatchObject({ matched: false, reason: expect.stringMatching(reason) });
  });
});

it('reads hostile shape arithmetic once', () => {
  const nodes = [op('Concat', ['empty', 'empty'], 'c0', { axis: { int: 0 } })];
  for (let level = 1; level < 15; level++) {
    const input = Array<string>(200).fill(`c${level - 1}`);
    nodes.push(op('Concat', input, `c${level}`, { axis: { int: 0 } }));
  }
  const hostile = testScope({
    initializers: [ints('empty', [])],
    nodes: [...nodes, op('ConstantOfShape', ['c14'], 'z'), op('EyeLike', ['z'], 'e')],
  });
  expect(matchEye(hostile, 'e')).toMatchObject({ matched: false });
});
