/** Finding modules in small graphs: by every kind of name that exporters leave, and not by anything else. */

import {
  makeEntries,
  makeModel,
  makeNode,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { floats, op, smallConstants, testGraph } from '../../test/support/graph.js';
import { inlineTensor } from '../tensors/inline.js';
import { openBase } from './attach-graph.js';
import { findTargets, type Target } from './find-targets.js';
import { segmentsOf } from './layer-names.js';

interface Parts {
  readonly nodes: readonly NodeProto[];
  readonly initializers: readonly TensorProto[];
  readonly valueInfos?: readonly ValueInfoProto[];
}

const linear = (path: string, shape: readonly [number, number] = [3, 2]): Target => ({
  path,
  kind: 'linear',
  weightShape: shape,
});

async function find(targets: readonly Target[], { nodes, initializers, valueInfos = [] }: Parts) {
  const graph = testGraph({ inputs: { x: ['batch', 2] }, nodes, initializers, outputs: [nodes.at(-1)!.output[0]!] });
  graph.valueInfo.push(...valueInfos);
  const base = openBase(makeModel(graph, { opsets: { '': 20 } }), inlineTensor, smallConstants);
  const { found, problems } = await findTargets(targets, base);
  return {
    found: found.map(({ target, layers, fit, name }) => ({
      path: target.path,
      nodes: layers.map(({ node }) => node.output[0]),
      fit,
      from: name.from,
    })),
    problems,
  };
}

const scoped = (node: NodeProto, ...scopes: readonly string[]): NodeProto => ({
  ...node,
  metadataProps: makeEntries({
    'pkg.torch.onnx.name_scopes': `['', ${scopes.map((scope) => `'${scope}'`).join(', ')}]`,
  }),
});
const named = (node: NodeProto, name: string): NodeProto => ({ ...node, name });

describe('one layer, named', () => {
  const product = op('MatMul', ['x', 'w'], 'y');
  it.each<[string, Parts, object]>([
    [
      'by the scopes of the dynamo exporter',
      { nodes: [scoped(product, 'model', 'model.fc', 'linear')], initializers: [floats('w', [2, 3])] },
      { fit: 'whole', from: 'name scopes' },
    ],
    [
      'by the scopes of a wrapped PEFT model',
      { nodes: [scoped(product, 'base_model.model.model.fc', 'linear')], initializers: [floats('w', [2, 3])] },
      { fit: 'whole', from: 'name scopes' },
    ],
    [
      'by the node name of the legacy exporter',
      { nodes: [named(product, '/model/fc/MatMul')], initializers: [floats('w', [2, 3])] },
      { fit: 'whole', from: 'node name' },
    ],
    [
      "by a quantizer's node name",
      { nodes: [named(product, '/model/fc/MatMul_Q4')], initializers: [floats('w', [2, 3])] },
      { fit: 'whole', from: 'node name' },
    ],
    [
      'by its weight',
      {
        nodes: [op('Gemm', ['x', 'model.fc.weight'], 'y', { transB: { int: 1 } })],
        initializers: [floats('model.fc.weight', [3, 2])],
      },
      { fit: 'whole', from: 'initializer name' },
    ],
    [
      'by its bias',
      { nodes: [op('Gemm', ['x', 'w', 'fc.bias'], 'y')], initializers: [floats('w', [2, 3]), floats('fc.bias', [3])] },
      { fit: 'shorter', from: 'initializer name' },
    ],
    [
      'by the node that adds its bias',
      {
        nodes: [op('MatMul', ['x', 'w'], 'p'), named(op('Add', ['b', 'p'], 'y'), '/model/fc/Add')],
        initializers: [floats('w', [2, 3]), floats('b', [3])],
      },
      { fit: 'whole', from: 'node name' },
    ],
    [
      'by what its weight was folded from',
      {
        nodes: [product],
        initializers: [floats('w', [2, 3])],
        valueInfos: [
          {
            name: 'w',
            metadataProps: makeEntries({ 'pkg.onnxscript.optimizer.folded_from': "['model.fc.weight', 'val_3']" }),
          },
        ],
      },
      { fit: 'whole', from: 'folded initializer' },
    ],
    [
      "by its weight's name, in onnxruntime-genai's way",
      {
        nodes: [op('MatMul', ['x', 'model.fc.MatMul.weight'], 'y')],
        initializers: [floats('model.fc.MatMul.weight', [2, 3])],
      },
      { fit: 'whole', from: 'initializer name' },
    ],
  ])('%s', async (_, parts, expected) => {
    const { found, problems } = await find([linear('model.fc')], parts);
    expect(problems).toEqual([]);
    expect(found).toMatchObject([{ path: 'model.fc', ...expected }]);
  });

  it.each<[string, Parts]>([
    ['no name', { nodes: [product], initializers: [floats('w', [2, 3])] }],
    [
      'two graph inputs multiplied',
      { nodes: [named(op('MatMul', ['x', 'x'], 'y'), '/model/fc/MatMul')], initializers: [] },
    ],
    [
      'a Gemm with a factor',
      {
        nodes: [named(op('Gemm', ['x', 'w'], 'y', { alpha: { float: 2 } }), '/model/fc/Gemm')],
        initializers: [floats('w', [2, 3])],
      },
    ],
    [
      'an integer weight',
      {
        nodes: [named(op('MatMul', ['x', 'w'], 'y'), '/model/fc/MatMul')],
        initializers: [{ ...floats('w', [2, 3]), dataType: 6 }],
      },
    ],
    [
      'a bias that is no vector',
      {
        nodes: [named(op('Gemm', ['x', 'w', 'c'], 'y'), '/model/fc/Gemm')],
        initializers: [floats('w', [2, 3]), floats('c', [1, 3])],
      },
    ],
    [
      "another operator's domain",
      {
        nodes: [makeNode('MatMul', ['x', 'w'], ['y'], { name: '/model/fc/MatMul', domain: 'my.own' })],
        initializers: [floats('w', [2, 3])],
      },
    ],
  ])('is not found in %s', async (_, parts) => {
    const { problems } = await find([linear('model.fc')], parts);
    expect(problems).toMatchObject([{ problem: 'missing', reason: 'no linear layer of this export has that path' }]);
  });
});

describe('names that contradict or complete one another', () => {
  it("what a node says of itself counts more than a shared weight's name", async () => {
    const parts: Parts = {
      nodes: [
        named(op('MatMul', ['x', 'tied.weight'], 'h'), '/first/MatMul'),
        named(op('MatMul', ['x', 'tied.weight'], 'g'), '/tied/MatMul'),
        op('Concat', ['h', 'g'], 'y', { axis: { int: 0 } }),
      ],
      initializers: [floats('tied.weight', [2, 3])],
    };
    const { found, problems } = await find([linear('first'), linear('tied')], parts);
    expect(problems).toEqual([]);
    expect(found.map(({ path, nodes }) => [path, nodes])).toEqual([
      ['first', ['h']],
      ['tied', ['g']],
    ]);
  });

  it('one embedding of two names, as in T5, is found by either', async () => {
    const parts: Parts = {
      nodes: [named(op('Gather', ['shared.weight', 'x'], 'y'), '/encoder/embed_tokens/Gather')],
      initializers: [floats('shared.weight', [5, 3])],
    };
    const embedding = (path: string): Target => ({ path, kind: 'embedding', weightShape: [5, 3] });
    for (const path of ['shared', 'encoder.embed_tokens']) {
      expect((await find([embedding(path)], parts)).found, path).toMatchObject([{ path, nodes: ['y'] }]);
    }
    const { problems } = await find([embedding('shared'), embedding('encoder.embed_tokens')], parts);
    expect(problems).toMatchObject([{ problem: 'ambiguous' }, { problem: 'ambiguous' }]);
  });

  it('a short scope is completed by the name of the weight', async () => {
    const parts: Parts = {
      nodes: [named(op('MatMul', ['x', 'h.0.c_attn.weight'], 'y'), '/c_attn/MatMul')],
      initializers: [floats('h.0.c_attn.weight', [2, 3])],
    };
    expect((await find([linear('h.0.c_attn')], parts)).found).toMatchObject([{ fit: 'whole' }]);
    expect((await find([linear('h.1.c_attn')], parts)).problems).toMatchObject([{ problem: 'missing' }]);
  });
});

describe('several layers that fit', () => {
  const twice = (first: string, second: string): Parts => ({
    nodes: [
      named(op('MatMul', ['x', 'v'], 'h'), first),
      named(op('MatMul', ['x', 'w'], 'g'), second),
      op('Concat', ['h', 'g'], 'y', { axis: { int: 0 } }),
    ],
    initializers: [floats('v', [2, 3]), floats('w', [2, 3], [9, 8, 7, 6, 5, 4])],
  });

  it('the better fit is taken', async () => {
    const { found } = await find([linear('model.fc')], twice('/fc/MatMul', '/model/fc/MatMul'));
    expect(found).toMatchObject([{ nodes: ['g'], fit: 'whole' }]);
  });

  it('different weights of equal fit are an error with both', async () => {
    const { found, problems } = await find([linear('fc')], twice('/encoder/fc/MatMul', '/decoder/fc/MatMul'));
    expect(found).toEqual([]);
    expect(problems).toEqual([
      {
        path: 'fc',
        problem: 'ambiguous',
        reason: '2 layers with different weights have that path',
        candidates: ['/encoder/fc/MatMul [3,2]', '/decoder/fc/MatMul [3,2]'],
      },
    ]);
  });

  it('equal weights are one module that is called twice', async () => {
    const parts = twice('/fc/MatMul', '/fc/MatMul_1');
    const equal = { ...parts, initializers: [floats('v', [2, 3]), floats('w', [2, 3])] };
    expect((await find([linear('fc')], equal)).found).toMatchObject([{ nodes: ['h', 'g'] }]);
    expect((await find([linear('fc')], parts)).problems).toMatchObject([{ problem: 'ambiguous' }]);
  });

  it('the shape decides between them', async () => {
    const parts = twice('/encoder/fc/MatMul', '/decoder/fc/MatMul');
    const shaped = { ...parts, initializers: [floats('v', [2, 3]), floats('w', [2, 4])] };
    shaped.nodes.at(-1)!.input.splice(1);
    expect((await find([linear('fc', [4, 2])], shaped)).found).toMatchObject([{ nodes: ['g'] }]);
    expect((await find([linear('fc', [5, 2])], shaped)).problems).toMatchObject([
      { problem: 'shape', reason: 'the weight is [3,2], and the adapter is made for [5,2]' },
    ]);
  });

  it('one layer is not two modules', async () => {
    const parts: Parts = {
      nodes: [named(op('MatMul', ['x', 'w'], 'y'), '/fc/MatMul')],
      initializers: [floats('w', [2, 3])],
    };
    const { found, problems } = await find([linear('layers.0.fc'), linear('layers.1.fc')], parts);
    expect(found).toEqual([]);
    expect(problems.map(({ path, reason }) => [path, reason])).toEqual([
      ['layers.0.fc', 'the same layer fits layers.1.fc'],
      ['layers.1.fc', 'the same layer fits layers.0.fc'],
    ]);
  });
});

it('says what is there instead of a missing module', async () => {
  const parts: Parts = {
    nodes: [
      named(op('MatMul', ['x', 'w'], 'h'), '/model/layers.3/fc/MatMul'),
      named(op('Conv', ['h', 'k'], 'y'), '/model/stem/Conv'),
    ],
    initializers: [floats('w', [2, 3]), floats('k', [4, 3, 1])],
  };
  const { problems } = await find([linear('model.layers.4.fc'), linear('model.stem')], parts);
  expect(problems).toEqual([
    {
      path: 'model.layers.4.fc',
      problem: 'missing',
      reason: 'no linear layer of this export has that path',
      candidates: ['/model/layers.3/fc/MatMul [3,2]'],
    },
    {
      path: 'model.stem',
      problem: 'missing',
      reason: 'no linear layer in this export, but a convolution',
      candidates: ['/model/stem/Conv [4,3,1]'],
    },
  ]);
});

it('names the product that a module was packed into', async () => {
  const parts: Parts = {
    nodes: [named(op('MatMul', ['x', 'w'], 'y'), '/model/layers.0/attn/qkv_proj/MatMul')],
    initializers: [floats('w', [2, 6])],
  };
  const { problems } = await find([linear('model.layers.0.self_attn.k_proj')], parts);
  expect(problems).toMatchObject([
    {
      problem: 'missing',
      reason:
        "packed with its neighbours into one product qkv_proj; build the export with each by itself (onnxruntime-genai's builder: --extra_options disable_qkv_fusion=true)",
      candidates: ['/model/layers.0/attn/qkv_proj/MatMul [6,2]'],
    },
  ]);
});

it("takes PEFT's wrapper off a path", () => {
  expect(segmentsOf('base_model.model.model.layers.0.fc')).toEqual(['model', 'layers', '0', 'fc']);
  expect(segmentsOf('')).toEqual([]);
});
