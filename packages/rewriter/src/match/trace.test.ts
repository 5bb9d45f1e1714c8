import { DataType } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { floats, op, testScope } from '../../test/support/graph.js';
import { plain, traceMatrix, transposedTrace, uncast, unwiden } from './trace.js';

const cast = (type: number) => ({ to: { int: type } });

const scope = testScope({
  inputs: { x: ['n', 4], cube: [2, 2, 2] },
  initializers: [floats('w', [3, 4])],
  nodes: [
    op('Identity', ['x'], 'same'),
    op('Cast', ['same'], 'noop', cast(DataType.FLOAT)),
    op('Cast', ['noop'], 'half', cast(DataType.FLOAT16)),
    op('Cast', ['half'], 'back', cast(DataType.FLOAT)),
    op('Cast', ['back'], 'whole', cast(DataType.INT64)),
    op('Transpose', ['w'], 'wt', { perm: { ints: [1, 0] } }),
    op('Identity', ['wt'], 'wt2'),
    op('Transpose', ['wt2'], 'wtt'),
    op('Cast', ['wt'], 'wt16', cast(DataType.FLOAT16)),
    op('Cast', ['wt16'], 'wt32', cast(DataType.FLOAT)),
    op('Transpose', ['wt32'], 'w32', { perm: { ints: [1, 0] } }),
    op('Transpose', ['x'], 'kept', { perm: { ints: [0, 1] } }),
    op('Transpose', ['cube'], 'cubeTurned', { perm: { ints: [1, 0, 2] } }),
    op('Transpose', ['cube'], 'cubeReversed'),
    op('Identity', ['x'], 'foreign', {}, 'lib'),
    op('Relu', ['x'], 'rectified', cast(DataType.FLOAT)),
    op('Cast', ['untyped'], 'typeless'),
    op('Relu', ['x'], 'rectifiedHalf', cast(DataType.FLOAT16)),
    op('Cast', ['whole'], 'counted', cast(DataType.FLOAT)),
    op('Cast', ['x'], 'brain', cast(DataType.BFLOAT16)),
    op('Cast', ['brain'], 'brainWide', cast(DataType.FLOAT)),
    op('Relu', ['half'], 'halfRectified', cast(DataType.FLOAT)),
    op('Cast', ['half'], 'halfToBrain', cast(DataType.BFLOAT16)),
    op('Cast', ['x'], 'double', cast(DataType.DOUBLE)),
    op('Cast', ['double'], 'narrowed', cast(DataType.FLOAT)),
    op('Relu', ['back'], 'backRectified', cast(DataType.FLOAT16)),
    op('Identity', ['x'], 'standard', {}, 'ai.onnx'),
    op('Identity', ['x'], 'nameless', {}, ''),
  ],
});

describe('plain', () => {
  it('passes Identity and casts that change nothing', () => expect(plain(scope, 'noop')).toBe('x'));
  it('stops at casts that do', () => expect(plain(scope, 'half')).toBe('half'));
  it('stops at a value that was rounded and widened again', () => expect(plain(scope, 'back')).toBe('back'));
  it.each(['standard', 'nameless'])('knows the standard domain by the name of %s', (value) =>
    expect(plain(scope, value)).toBe('x'),
  );
  it.each([
    ['an Identity of another domain', 'foreign'],
    ['another operator with the attribute of a cast', 'rectified'],
    ['another operator behind a widening cast', 'backRectified'],
    ['a cast whose types are not known', 'typeless'],
  ])('stops at %s', (_, value) => expect(plain(scope, value)).toBe(value));
});

describe('uncast', () => {
  it('passes casts between floating-point types', () => expect(uncast(scope, 'back')).toBe('x'));
  it('passes casts to bfloat16', () => expect(uncast(scope, 'brain')).toBe('x'));
  it('stops at casts to whole numbers', () => expect(uncast(scope, 'whole')).toBe('whole'));
  it('stops at casts from whole numbers', () => expect(uncast(scope, 'counted')).toBe('counted'));
  it('stops at other operators', () => expect(uncast(scope, 'rectifiedHalf')).toBe('rectifiedHalf'));
});

describe('unwiden', () => {
  it('passes casts that lose nothing', () => expect(unwiden(scope, 'back')).toBe('half'));
  it('passes casts from bfloat16', () => expect(unwiden(scope, 'brainWide')).toBe('brain'));
  it.each(['half', 'halfToBrain', 'narrowed', 'counted'])('stops at a cast that may round: %s', (value) =>
    expect(unwiden(scope, value)).toBe(value),
  );
  it('stops at other operators', () => expect(unwiden(scope, 'halfRectified')).toBe('halfRectified'));
});

describe('traceMatrix', () => {
  it('counts transposes', () => {
    expect(traceMatrix(scope, 'wt2')).toMatchObject({ value: 'w', transposed: true, source: 'w' });
    expect(traceMatrix(scope, 'wtt')).toMatchObject({ value: 'w', transposed: false });
    expect(transposedTrace(traceMatrix(scope, 'wtt'))).toMatchObject({ transposed: true, sourceTransposed: true });
  });

  it('keeps the value of its own type apart from where the numbers come from', () => {
    expect(traceMatrix(scope, 'w32')).toEqual({
      value: 'wt32',
      transposed: true,
      source: 'wt16',
      sourceTransposed: true,
    });
  });

  it('stops at what is no transpose of a matrix', () => {
    for (const value of ['kept', 'cubeTurned', 'cubeReversed']) {
      expect(traceMatrix(scope, value)).toMatchObject({ value, transposed: false });
    }
  });
});

it('bounds the walk through a hostile chain', () => {
  const length = 10_000;
  const nodes = Array.from({ length }, (_, index) =>
    op('Identity', [index === 0 ? 'x' : `v${index - 1}`], `v${index}`),
  );
  const long = testScope({ inputs: { x: [2] }, nodes });
  expect(plain(long, `v${length - 1}`)).toMatch(/^v99\d\d$/);
});
