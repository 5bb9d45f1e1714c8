import { DataType, ModelView, makeGraph, makeModel, makeValueInfo } from '@ort-dora/onnx';
import { expect, it } from 'vitest';
import { ints, op, smallConstants } from '../../test/support/graph.js';
import { matchScopes } from './model-facts.js';
import { plain } from './trace.js';

function factsOf(nodes: ReturnType<typeof op>[], declared: Readonly<Record<string, readonly number[]>> = {}) {
  const graph = makeGraph('test', {
    inputs: [makeValueInfo('x', DataType.FLOAT16, [4])],
    outputs: [],
    nodes,
    initializers: [ints('first', [0]), ints('last', [-1])],
    valueInfos: Object.entries(declared).map(([name, dims]) => makeValueInfo(name, DataType.FLOAT16, dims)),
  });
  const view = new ModelView(makeModel(graph, { opsets: { '': 20 } }));
  return matchScopes(view, smallConstants).get(view.main)!;
}

it('believes declared shapes that no operator contradicts', () => {
  const facts = factsOf([op('Unsqueeze', ['x', 'last'], 'column'), op('Custom', ['column'], 'y')], { y: [7] });
  expect([facts.shape('column'), facts.shape('y')]).toEqual([[4, 1], [7]]);
});

it('believes no declared shape where one is contradicted', () => {
  const nodes = [op('Unsqueeze', ['x', 'first'], 'row'), op('Custom', ['row'], 'y')];
  const facts = factsOf(nodes, { row: [4, 1], y: [7] });
  expect([facts.shape('row'), facts.shape('y')]).toEqual([[1, 4], undefined]);
});

it('takes a value that was widened and cast back for itself', () => {
  const to = (type: number) => ({ to: { int: type } });
  const facts = factsOf([
    op('Cast', ['x'], 'wide', to(DataType.FLOAT)),
    op('Identity', ['wide'], 'same'),
    op('Cast', ['same'], 'back', to(DataType.FLOAT16)),
    op('Cast', ['same'], 'other', to(DataType.BFLOAT16)),
  ]);
  expect([plain(facts, 'back'), plain(facts, 'other')]).toEqual(['x', 'other']);
});
