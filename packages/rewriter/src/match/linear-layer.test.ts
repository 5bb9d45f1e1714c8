import { describe, expect, it } from 'vitest';
import { floats, op, testScope } from '../../test/support/graph.js';
import { matchBaseTerm, matchLinearLayer, matchLowRank } from './linear-layer.js';
import { matchProduct } from './product.js';
import { uncast } from './trace.js';

const scope = testScope({
  inputs: { x: ['n', 4], residual: ['n', 3], s: [] },
  initializers: [
    floats('w', [3, 4]),
    floats('wt', [4, 3]),
    floats('b', [3]),
    floats('a', [2, 4]),
    floats('c', [2]),
    floats('up', [2, 3]),
  ],
  nodes: [
    op('MatMul', ['x', 'wt'], 'product'),
    op('Add', ['product', 'b'], 'biased'),
    op('Add', ['b', 'product'], 'biasFirst'),
    op('Add', ['product', 'residual'], 'sum'),
    op('Gemm', ['x', 'w', 'b'], 'gemm', { transB: { int: 1 } }),
    op('Gemm', ['x', 'w', ''], 'gemmAlone', { transB: { int: 1 }, beta: { float: 0 } }),
    op('Gemm', ['x', 'w', 'b'], 'doubled', { transB: { int: 1 }, alpha: { float: 2 } }),
    op('Gemm', ['x', 'w', 'b'], 'weighted', { transB: { int: 1 }, beta: { float: 0.5 } }),
    op('Transpose', ['x'], 'xt', { perm: { ints: [1, 0] } }),
    op('Gemm', ['xt', 'wt'], 'turned', { transA: { int: 1 } }),
    op('Transpose', ['a'], 'at', { perm: { ints: [1, 0] } }),
    op('MatMul', ['x', 'at'], 'down'),
    op('MatMul', ['down', 'up'], 'lora'),
    op('Relu', ['down'], 'active'),
    op('MatMul', ['active', 'up'], 'nonlinear'),
    op('Sub', ['biased', 'b'], 'unbiased'),
    op('Sub', ['b', 'biased'], 'negated'),
    op('MatMul', ['x', 'wt'], 'again'),
    op('Add', ['gemm', 'b'], 'biasedTwice'),
    op('Gemm', ['down', 'up', 'b'], 'biasedUp'),
    op('Gemm', ['x', 'at', 'c'], 'biasedDown'),
    op('MatMul', ['biasedDown', 'up'], 'biasedBelow'),
  ],
});

const layer = (value: string) => matchLinearLayer(scope, value);

describe('matchLinearLayer', () => {
  it.each([
    ['product', { form: 'MatMul', x: 'x', bias: undefined }],
    ['biased', { form: 'MatMul+Add', bias: 'b' }],
    ['biasFirst', { form: 'MatMul+Add', bias: 'b' }],
    ['gemm', { form: 'Gemm+bias', bias: 'b' }],
    ['gemmAlone', { form: 'Gemm', bias: undefined }],
  ])('%s', (value, expected) => {
    expect(layer(value)).toMatchObject({ matched: true, value: expected });
  });

  it('says how W is stored', () => {
    expect(layer('product')).toMatchObject({ value: { weight: { value: 'wt', transposed: true } } });
    expect(layer('gemm')).toMatchObject({ value: { weight: { value: 'w', transposed: false } } });
  });

  it.each([
    ['sum', /not a vector/],
    ['doubled', /alpha is not 1/],
    ['biasedTwice', /another one added/],
    ['weighted', /beta is not 1/],
    ['turned', /transposes its first factor/],
    ['x', /not the result of a linear layer/],
    ['active', /found Relu/],
  ])('refuses %s', (value, reason) => {
    expect(layer(value)).toMatchObject({ matched: false, reason: expect.stringMatching(reason) });
  });
});

describe('matchProduct', () => {
  it('names the node that is none', () => {
    const result = matchProduct(scope, 'active');
    expect(result).toMatchObject({ matched: false, culprit: { opType: 'Relu' } });
  });
});

describe('matchLowRank', () => {
  it('takes two products in a row', () => {
    expect(matchLowRank(scope, 'lora')).toMatchObject({
      value: { x: 'x', loraA: { value: 'a', transposed: false }, loraB: { value: 'up', transposed: true } },
    });
  });

  it.each(['biasedUp', 'biasedBelow'])('refuses a bias: %s', (value) => {
    expect(matchLowRank(scope, value)).toMatchObject({ matched: false, reason: 'the adapter path adds a bias' });
  });

  it('refuses what is between them', () => {
    expect(matchLowRank(scope, 'nonlinear')).toMatchObject({ matched: false, culprit: { opType: 'Relu' } });
  });
});

describe('matchBaseTerm', () => {
  const base = { output: 'biased', hasBias: true };
  const term = (value: string, of = base) => matchBaseTerm(scope, value, of, (name) => uncast(scope, name));

  it('takes the product, the difference, and the product computed again', () => {
    expect(term('product')).toMatchObject({ value: { kind: 'recomputed', product: { output: 'product' } } });
    expect(term('unbiased')).toMatchObject({ value: { kind: 'difference', subtrahend: 'b' } });
    expect(term('again')).toMatchObject({ value: { kind: 'recomputed' } });
  });

  it('takes the result itself only where it has no bias', () => {
    expect(term('biased')).toMatchObject({ matched: false, reason: 'the base term still holds the bias' });
    expect(term('product', { output: 'product', hasBias: false })).toMatchObject({ value: { kind: 'product' } });
  });

  it('refuses a product computed again with a bias', () => {
    expect(term('gemm')).toMatchObject({ matched: false, reason: 'the recomputed base term adds a bias' });
  });

  it('refuses the difference the other way round', () => {
    expect(term('negated')).toMatchObject({ matched: false, reason: expect.stringContaining('does not subtract') });
  });
});
