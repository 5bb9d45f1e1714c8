import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { geometryOf, matchConvolution, matchConvolutionAdapter, matchConvolutionLayer } from './convolution.js';

const scope = testScope({
  inputs: { x: ['n', 2, 5, 5], given: [4, 2, 'k', 3], line: ['n', 2, 5] },
  initializers: [
    floats('W', [4, 2, 3, 3]),
    floats('W1', [4, 2, 3]),
    floats('W3', [4, 2, 1, 1, 1]),
    floats('W4', [4, 2, 1, 1, 1, 1]),
    floats('matrix', [4, 2]),
    floats('A', [2, 2, 3, 3]),
    floats('B', [4, 2, 1, 1]),
    floats('b', [4]),
    floats('a', [2]),
    floats('zero', [1], [0]),
    floats('one', [1], [1]),
    ints('four', [4]),
  ],
  nodes: [
    op('Conv', ['x', 'W'], 'plain'),
    op('Conv', ['x', 'W', 'b'], 'biased'),
    op('Conv', ['line', 'W1'], 'of1d'),
    op('Conv', ['x', 'W3'], 'of3d'),
    op('Conv', ['x', 'W4'], 'of4d'),
    op('Conv', ['x', 'matrix'], 'ofMatrix'),
    op('Conv', ['x', 'nothing'], 'ofUnknown'),
    op('Conv', ['x', 'given'], 'ofSymbolic'),
    op('Cast', ['zero'], 'double', { to: { int: 11 } }),
    op('Expand', ['double', 'four'], 'zeros'),
    op('Conv', ['x', 'W', 'zeros'], 'filled'),
    op('Expand', ['one', 'four'], 'ones'),
    op('Conv', ['x', 'W', 'ones'], 'filledWithOnes'),
    op('Cos', ['zero'], 'cosine'),
    op('Conv', ['x', 'W', 'cosine'], 'computed'),
    op('Conv', ['x', 'A'], 'down'),
    op('Conv', ['down', 'B'], 'lora'),
    op('Conv', ['down', 'B', 'b'], 'biasedUp'),
    op('Conv', ['x', 'A', 'a'], 'biasedDown'),
    op('Conv', ['biasedDown', 'B'], 'biasedBelow'),
    op('Relu', ['down'], 'active'),
    op('Conv', ['active', 'B'], 'nonlinear'),
    op('Conv', ['x', 'W'], 'same', { auto_pad: { string: 'SAME_UPPER' } }),
    op('Conv', ['x', 'W'], 'unset', { auto_pad: { string: 'NOTSET' }, pads: { ints: [1, 2, 3, 4] } }),
  ],
});

describe('matchConvolution', () => {
  it.each([
    ['plain', { x: 'x', weight: 'W', bias: undefined }],
    ['biased', { bias: 'b' }],
    ['of1d', { weight: 'W1' }],
    ['of3d', { weight: 'W3' }],
    // What unoptimised exports give a convolution without a bias.
    ['filled', { bias: undefined }],
    ['filledWithOnes', { bias: 'ones' }],
    ['computed', { bias: 'cosine' }],
  ])('takes %s', (value, expected) => {
    expect(matchConvolution(scope, value)).toMatchObject({ matched: true, value: expected });
  });

  it.each([
    ['of4d', 'the weight "W4" is not known to have one to three kernel axes'],
    ['ofMatrix', 'the weight "matrix" is not known to have one to three kernel axes'],
    ['ofUnknown', 'the weight "nothing" is not known to have one to three kernel axes'],
    ['active', '"active" is not the result of a convolution'],
    ['x', '"x" is not the result of a convolution'],
  ])('refuses %s', (value, reason) => {
    expect(matchConvolution(scope, value)).toMatchObject({ matched: false, reason });
  });
});

it('matches a layer', () => {
  expect(matchConvolutionLayer(scope, 'plain')).toMatchObject({ value: { form: 'Conv', weight: { value: 'W' } } });
  expect(matchConvolutionLayer(scope, 'biased')).toMatchObject({ value: { form: 'Conv+bias', bias: 'b' } });
  expect(matchConvolutionLayer(scope, 'x')).toMatchObject({ matched: false });
});

describe('matchConvolutionAdapter', () => {
  it('takes two convolutions in a row', () => {
    expect(matchConvolutionAdapter(scope, 'lora')).toMatchObject({
      value: { x: 'x', loraA: { value: 'A' }, loraB: { value: 'B' } },
    });
  });

  it.each([
    ['biasedUp', 'the adapter path adds a bias'],
    ['biasedBelow', 'the adapter path adds a bias'],
    ['nonlinear', '"active" is not the result of a convolution'],
    ['x', '"x" is not the result of a convolution'],
  ])('refuses %s', (value, reason) => {
    expect(matchConvolutionAdapter(scope, value)).toMatchObject({ matched: false, reason });
  });
});

describe('geometryOf', () => {
  const geometry = (value: string) => geometryOf(scope, scope.producer(value)!);

  it('fills in what is not said', () => {
    expect(geometry('plain')).toEqual({
      kernel: [3, 3],
      strides: [1, 1],
      dilations: [1, 1],
      padding: '0,0,0,0',
      groups: 1,
    });
  });

  it('takes padding by name or by number', () => {
    expect([geometry('same').padding, geometry('unset').padding]).toEqual(['SAME_UPPER', '1,2,3,4']);
  });

  it('does not guess a kernel', () => {
    expect([geometry('ofUnknown').kernel, geometry('ofSymbolic').kernel]).toEqual([[], [undefined, 3]]);
  });
});
