import { ModelView, makeFunction, makeGraph, makeModel, makeNode } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { unwrapCall } from './wrapper-functions.js';

const where = makeNode('Where', ['c', 'a', 'b'], ['r']);
const call = makeNode('choose', ['condition', 'yes', 'no'], ['out'], { name: 'the call', domain: 'lib' });

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

  it('leaves other nodes alone', () => {
    const node = makeNode('Where', ['a', 'b', 'c'], ['d']);
    const view = new ModelView(makeModel(makeGraph('g', { outputs: [], nodes: [node] }), { opsets: { '': 18 } }));
    expect(unwrapCall(view, node, 18)).toBeUndefined();
  });
});
