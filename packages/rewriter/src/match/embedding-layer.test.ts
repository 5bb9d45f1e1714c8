import { describe, expect, it } from 'vitest';
import { floats, ints, op, testScope } from '../../test/support/graph.js';
import { matchEmbeddingAdapter, matchEmbeddingLayer } from './embedding-layer.js';

const scope = testScope({
  inputs: { x: ['n', 4] },
  initializers: [
    floats('W', [6, 4]),
    floats('At', [6, 2]),
    floats('Bt', [2, 4]),
    floats('bias', [4]),
    floats('scale', [], [3]),
    floats('vector', [4]),
    ints('ids', [0, 2, 5]),
  ],
  nodes: [
    op('Gather', ['W', 'ids'], 'rows'),
    op('Gather', ['W', 'ids'], 'columns', { axis: { int: 1 } }),
    op('Mul', ['rows', 'scale'], 'scaled'),
    op('Mul', ['scale', 'rows'], 'scaledFirst'),
    op('Mul', ['rows', 'vector'], 'weighted'),
    op('Mul', ['x', 'scale'], 'noLookup'),
    op('Gather', ['At', 'ids'], 'down'),
    op('MatMul', ['down', 'Bt'], 'lora'),
    op('Gemm', ['down', 'Bt', 'bias'], 'biased'),
    op('MatMul', ['x', 'Bt'], 'ofActivations'),
  ],
});

describe('matchEmbeddingLayer', () => {
  it.each([
    ['rows', { form: 'Gather', scale: 1, x: 'ids', weight: { value: 'W', transposed: true } }],
    ['scaled', { form: 'Gather+Mul', scale: 3 }],
    ['scaledFirst', { form: 'Gather+Mul', scale: 3 }],
  ])('takes %s', (value, expected) => {
    expect(matchEmbeddingLayer(scope, value)).toMatchObject({ matched: true, value: expected });
  });

  it.each([
    ['columns', 'what is looked up are not rows'],
    ['weighted', 'an embedding is multiplied by something else than a number'],
    ['noLookup', '"x" is not looked up in an embedding'],
    ['x', '"x" is not looked up in an embedding'],
  ])('refuses %s', (value, reason) => {
    expect(matchEmbeddingLayer(scope, value)).toMatchObject({ matched: false, reason });
  });
});

describe('matchEmbeddingAdapter', () => {
  it('takes a lookup and a product', () => {
    expect(matchEmbeddingAdapter(scope, 'lora')).toMatchObject({
      value: { x: 'ids', loraA: { value: 'At', transposed: true }, loraB: { value: 'Bt', transposed: true } },
    });
  });

  it.each([
    ['biased', 'the adapter path adds a bias'],
    ['ofActivations', '"x" is not looked up in an embedding'],
    ['down', 'expected a MatMul or Gemm, found Gather'],
  ])('refuses %s', (value, reason) => {
    expect(matchEmbeddingAdapter(scope, value)).toMatchObject({ matched: false, reason });
  });
});
