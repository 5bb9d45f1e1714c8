import { type AttributeValue, ModelView, makeFunction, makeGraph, makeModel, makeNode } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { unwrapCall } from './wrapper-functions.js';

const where = makeNode('Where', ['c', 'a', 'b'], ['r']);
const call = makeNode('choose', ['condition', 'yes', 'no'], ['out'], { name: 'the call', domain: 'lib' });

const graph = makeGraph('inner', { outputs: [], nodes: [] });
const withAttribute = (value: AttributeValue) => makeNode('If', ['c'], ['r'], { attributes: { then_branch: value } });

function unwrapped(parts: Partial<Parameters<typeof makeFunction>[2]>) {
  const choose = makeFunction('lib', 'choose', {
    inputs: ['c', 'a', 'b'],
    outputs: ['r'],
    nodes: [where],
    opsets: { '': 18 },
    ...parts,
  });
  const graph = makeGraph('g', { outputs: [], nodes: [call] });
  return unwrapCall(new ModelView(makeModel(graph, { opsets: { '': 18, lib: 1 }, functions: [choose] })), call, 18);
}

describe('unwrapCall', () => {
  it('gives the operator over the arguments', () => {
    expect(unwrapped({})).toMatchObject({
      opType: 'Where',
      name: 'the call',
      input: ['condition', 'yes', 'no'],
      output: ['out'],
    });
  });

  it.each([
    ['as the last of several', { opsets: { lib: 1, '': 18 } }],
    ['by its name', { opsets: { 'ai.onnx': 18 } }],
  ])('reads the opset %s', (_, parts) => {
    expect(unwrapped(parts as object)).toMatchObject({ opType: 'Where' });
  });

  it('reads an opset without a domain', () => {
    const choose = makeFunction('lib', 'choose', {
      inputs: ['c', 'a', 'b'],
      outputs: ['r'],
      nodes: [where],
      opsets: { '': 18 },
    });
    delete choose.opsetImport[0]!.domain;
    const model = makeModel(makeGraph('g', { outputs: [], nodes: [call] }), {
      opsets: { '': 18 },
      functions: [choose],
    });
    expect(unwrapCall(new ModelView(model), call, 18)).toMatchObject({ opType: 'Where' });
  });

  it.each([
    ['an empty body', { nodes: [] }],
    ['a body that goes on after the result', { nodes: [where, makeNode('Not', ['c'], ['n'])] }],
    ['a value that is none of its inputs', { inputs: ['c', 'a'] }],
    ['an operator of two results', { nodes: [makeNode('Dropout', ['c'], ['r', 'mask'])] }],
    ['no opset', { opsets: { lib: 1 } }],
    ['a default for an attribute', { defaults: { axis: { int: 1 } } }],
    ['a graph in the body', { nodes: [withAttribute({ graph })] }],
    ['graphs in the body', { nodes: [withAttribute({ graphs: [graph] })] }],
    ['a body of two nodes', { nodes: [makeNode('Not', ['c'], ['n']), makeNode('Where', ['n', 'a', 'b'], ['r'])] }],
    ['a call in the body', { nodes: [makeNode('other', ['c', 'a', 'b'], ['r'], { domain: 'lib' })] }],
    ['another result', { outputs: ['c'] }],
    ['two results', { outputs: ['r', 'c'] }],
    ['attributes of the caller', { attributes: ['axis'] }],
    [
      'an attribute by reference',
      { nodes: [makeNode('Cast', ['c'], ['r'], { attributes: { to: { reference: 'to', of: 2 } } })] },
    ],
    ['another opset', { opsets: { '': 17 } }],
  ] as const)('refuses %s', (_, parts) => {
    expect(unwrapped(parts as object)).toBeUndefined();
  });

  it('takes a standard operator for what it is, whatever function has its name', () => {
    const relu = makeNode('Relu', ['c'], ['r']);
    const named = makeFunction('', 'Not', { inputs: ['c'], outputs: ['r'], nodes: [relu], opsets: { '': 18 } });
    const not = makeNode('Not', ['x'], ['y']);
    const model = makeModel(makeGraph('g', { outputs: [], nodes: [not] }), { opsets: { '': 18 }, functions: [named] });
    expect(unwrapCall(new ModelView(model), not, 18)).toBeUndefined();
  });

  it('leaves other nodes alone', () => {
    const node = makeNode('Where', ['a', 'b', 'c'], ['d']);
    const view = new ModelView(makeModel(makeGraph('g', { outputs: [], nodes: [node] }), { opsets: { '': 18 } }));
    expect(unwrapCall(view, node, 18)).toBeUndefined();
  });
});
