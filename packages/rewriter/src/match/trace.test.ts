import { DataType } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { floats, op, testScope } from '../../test/support/graph.js';
import { plain, traceMatrix, transposedTrace, uncast, unwiden } from './trace.js';

const cast = (type: number) => ({ to: { int: type } });

const scope = testScope({
  inputs: { x: ['n', 4] },
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
  ],
});

describe('plain', () => {
  it('passes Identity and casts that change nothing', () => expect(plain(scope, 'noop')).toBe('x'));
  it('stops at casts that do', () => expect(plain(scope, 'half')).toBe('half'));
});

describe('uncast', () => {
  it('passes casts between floating-point types', () => expect(uncast(scope, 'back')).toBe('x'));
  it('stops at casts to whole numbers', () => expect(uncast(scope, 'whole')).toBe('whole'));
});

describe('unwiden', () => {
  it('passes casts that lose nothing', () => expect(unwiden(scope, 'back')).toBe('half'));
  it('stops at casts that round', () => expect(unwiden(scope, 'half')).toBe('half'));
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
    expect(traceMatrix(scope, 'kept')).toMatchObject({ value: 'kept', transposed: false });
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
