/** DoRA inside subgraphs and model-local functions. */
import {
  decodeModel,
  encodeModel,
  inlineBytes,
  type ModelProto,
  makeFunction,
  makeGraph,
  makeNode,
  makeTensor,
  makeValueInfo,
} from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { expectSameBytes } from './support/bytes.js';
import { layerArrays, layerModel } from './support/layers.js';
import { toTensor } from './support/npz.js';
import { relativeError } from './support/numbers.js';
import { type Feeds, runModel } from './support/ort.js';
import { rewritten } from './support/rewrite.js';
import { inputSets, sample, sampleModel } from './support/samples.js';
import { numbersOf } from './support/tensors.js';

const SAMPLE = sample('c05');

describe('If', () => {
  /** The sample's nodes in one branch, or in both; its weights stay outside. */
  function inBranches(both: boolean): ModelProto {
    const model = sampleModel(SAMPLE);
    const graph = model.graph!;
    const branch = (name: string, nodes: typeof graph.node) => ({
      ...graph,
      name,
      node: nodes,
      input: [],
      initializer: [],
      valueInfo: [],
      output: [makeValueInfo(`${name}.y`, 1)],
    });
    const named = (name: string) => {
      const copy = decodeModel(encodeModel(model)).graph!.node;
      const outputs = new Set(copy.flatMap(({ output }) => output));
      const rename = (value: string) => (outputs.has(value) ? `${name}.${value}` : value);
      return copy.map((node) => ({ ...node, input: node.input.map(rename), output: node.output.map(rename) }));
    };
    const other = both
      ? branch('else', named('else'))
      : branch('else', [makeNode('MatMul', ['x', 'square'], ['else.y'])]);
    graph.initializer.push(makeTensor('condition', 9, [], Uint8Array.of(1)));
    if (!both) graph.initializer.push(makeTensor('square', 1, [640, 64], new Float32Array(640 * 64)));
    graph.node = [
      makeNode('If', ['condition'], ['y'], {
        name: 'choice',
        attributes: { then_branch: { graph: branch('then', named('then')) }, else_branch: { graph: other } },
      }),
    ];
    return model;
  }

  it.each([false, true])('is entered, both branches: %s', async (both) => {
    const model = inBranches(both);
    const { model: result, report } = await rewritten(model);
    expect(report.modules.map(({ status, path, scope }) => [status, path, scope])).toEqual(
      ['then', ...(both ? ['else'] : [])].map((name) => ['fused', 'q_proj', `choice.${name}_branch`]),
    );
    await expectSame(model, result);
  });
});

describe('model-local functions', () => {
  /** The sample's nodes as a function; its weights are Constant nodes inside, or inputs of the function. */
  function asFunction(weights: 'inside' | 'passed', calls = 1): ModelProto {
    const model = sampleModel(SAMPLE);
    const graph = model.graph!;
    const constants = graph.initializer.map((tensor) =>
      makeNode('Constant', [], [tensor.name!], { attributes: { value: { tensor } } }),
    );
    const inputs = weights === 'inside' ? ['x'] : ['x', ...graph.initializer.map(({ name }) => name!)];
    model.functions.push(
      makeFunction('my.model', 'Layer', {
        inputs,
        outputs: ['y'],
        nodes: [...(weights === 'inside' ? constants : []), ...graph.node],
        opsets: { '': 20 },
      }),
    );
    model.opsetImport.push({ domain: 'my.model', version: 1n });
    const call = (output: string, arguments_: readonly string[]) =>
      makeNode('Layer', arguments_, [output], { name: output, domain: 'my.model' });
    graph.node = [call('y', inputs)];
    if (calls === 2) {
      const bias = inputs.findIndex((name) => name.endsWith('bias'));
      graph.initializer.push(makeTensor('other', 1, [64], new Float32Array(64).fill(2)));
      graph.node.push(call('z', inputs.with(bias, 'other')));
      graph.output.push(makeValueInfo('z', 1));
    }
    graph.valueInfo = [];
    if (weights === 'inside') graph.initializer = [];
    return model;
  }

  it.each([
    ['inside', 1, 'stored'],
    ['passed', 1, 'stored'],
    ['passed', 2, 'stored'],
  ] as const)('are entered, weights %s, %i calls', async (weights, calls, scale) => {
    const model = asFunction(weights, calls);
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([
      { status: 'fused', scope: 'my.model::Layer', scale, operator: 'DoraLinear' },
    ]);
    await expectSame(model, result);
  });

  it('compute g at run time where calls differ in what it depends on', async () => {
    const model = asFunction('passed', 2);
    const graph = model.graph!;
    const magnitude = graph.node[1]!.input.findIndex((name) => name.includes('magnitude'));
    graph.node[1]!.input[magnitude] = 'other';
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([{ status: 'fused', scale: 'runtime' }]);
    await expectSame(model, result);
  });

  it('are left alone where calls differ in what must be proved', async () => {
    const model = asFunction('passed', 2);
    const graph = model.graph!;
    const counter = graph.node[1]!.input.indexOf('arange_1');
    graph.initializer.push({ ...graph.initializer.find(({ name }) => name === 'arange_1')!, name: 'counter' });
    graph.node[1]!.input[counter] = 'counter';
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([{ status: 'skipped' }]);
    expectSameBytes(encodeModel(result), encodeModel(model));
  });
});

describe('branches and loops', () => {
  /** A layer's nodes inside a body, its weights in the body's own initializers, or outside. */
  function bodyOf(name: string, weights: 'inner' | 'outer') {
    const model = layerModel(name);
    const graph = model.graph!;
    const { node, initializer } = graph;
    const rename = (value: string) => (value === 'y' ? 'body.y' : value);
    const nodes = node.map((each) => ({ ...each, output: each.output.map(rename) }));
    if (weights === 'inner') graph.initializer = [];
    graph.valueInfo = [];
    return { model, graph, nodes, initializers: weights === 'inner' ? initializer : [] };
  }

  const LAYERS = ['conv1d_gpt2_legacy', 'conv2d_legacy', 'embedding_scaled_legacy', 'embedding_legacy_folded'];
  const cases = LAYERS.flatMap((name) => (['inner', 'outer'] as const).map((weights) => [name, weights] as const));

  it.each(cases)('%s in a branch, weights %s', async (layer, weights) => {
    const { model, graph, nodes, initializers } = bodyOf(`${layer}_peft0.21`, weights);
    const then = makeGraph('then', { nodes, initializers, outputs: [makeValueInfo('body.y', 1)] });
    const none = makeGraph('none', {
      nodes: [makeNode('Constant', [], ['nothing'], { attributes: { value_float: { float: 0 } } })],
      outputs: [makeValueInfo('nothing', 1)],
    });
    graph.initializer.push(makeTensor('condition', 9, [], Uint8Array.of(1)));
    graph.node = [
      makeNode('If', ['condition'], ['y'], {
        name: 'choice',
        attributes: { then_branch: { graph: then }, else_branch: { graph: none } },
      }),
    ];
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([
      { status: 'fused', path: 'proj', scope: 'choice.then_branch', scale: 'stored' },
    ]);
    await expectSameFor(`${layer}_peft0.21`, model, result);
  });

  it.each(cases)('%s in a loop, weights %s', async (layer, weights) => {
    const { model, graph, nodes, initializers } = bodyOf(`${layer}_peft0.21`, weights);
    const body = makeGraph('body', {
      inputs: [makeValueInfo('step', 7, []), makeValueInfo('go', 9, [])],
      nodes: [makeNode('Identity', ['go'], ['go.on']), ...nodes],
      initializers,
      outputs: [makeValueInfo('go.on', 9, []), makeValueInfo('body.y', 1)],
    });
    graph.initializer.push(makeTensor('steps', 7, [], BigInt64Array.of(3n)));
    graph.node = [makeNode('Loop', ['steps', ''], ['y'], { name: 'repeat', attributes: { body: { graph: body } } })];
    graph.output = [makeValueInfo('y', 1)];
    const { model: result, report } = await rewritten(model, { scale: 'runtime' });
    expect(report.modules).toMatchObject([{ status: 'fused', path: 'proj', scope: 'repeat.body', scale: 'runtime' }]);
    await expectSameFor(`${layer}_peft0.21`, model, result);
  });
});

describe('one graph', () => {
  /** The sample's nodes again, over the same weights or others, reading the same x. */
  function again(model: ModelProto, prefix: string, weights: 'same' | 'other'): void {
    const graph = model.graph!;
    const copy = decodeModel(encodeModel(sampleModel(SAMPLE))).graph!;
    const own = new Set(copy.node.flatMap(({ output }) => output));
    if (weights === 'other') {
      for (const tensor of copy.initializer) {
        own.add(tensor.name!);
        graph.initializer.push({ ...tensor, name: `${prefix}.${tensor.name}` });
      }
    }
    const rename = (value: string) => (own.has(value) ? `${prefix}.${value}` : value);
    graph.node.push(
      ...copy.node.map((node) => ({
        ...node,
        name: `${prefix}.${node.name}`,
        input: node.input.map(rename),
        output: node.output.map(rename),
      })),
    );
    graph.output.push(makeValueInfo(`${prefix}.y`, 1));
  }

  it.each(['same', 'other'] as const)('siblings that share x, %s weights', async (weights) => {
    const model = sampleModel(SAMPLE);
    again(model, 'second', weights);
    again(model, 'third', weights);
    const { model: result, report } = await rewritten(model);
    expect(report.modules.map(({ status }) => status)).toEqual(['fused', 'fused', 'fused']);
    // The x of all is one value, and one module's weights are stored once.
    const products = result.graph!.node.filter(({ opType }) => opType === 'DoraLinear');
    expect(new Set(products.map(({ input }) => input[0]))).toEqual(new Set(['x']));
    await expectSame(model, result);
  });

  it('one module called twice, the second time on another input', async () => {
    const model = sampleModel(SAMPLE);
    again(model, 'second', 'same');
    const graph = model.graph!;
    graph.initializer.push(makeTensor('half', 1, [], Float32Array.of(0.5)));
    graph.node.unshift(makeNode('Mul', ['x', 'half'], ['x.half']));
    for (const node of graph.node) {
      if (node.output.some((value) => value.startsWith('second.'))) {
        node.input = node.input.map((value) => (value === 'x' ? 'x.half' : value));
      }
    }
    const { model: result, report } = await rewritten(model);
    expect(report.modules.map(({ status }) => status)).toEqual(['fused', 'fused']);
    await expectSame(model, result);
  });

  it('keeps every value that is a graph output too', async () => {
    const model = sampleModel(SAMPLE);
    const { report: found } = await rewritten(sampleModel(SAMPLE));
    const module = found.modules[0]!;
    if (module.status !== 'fused') throw new Error('the sample is fused');
    const { base, lora = '' } = module.values;
    for (const value of [base, lora]) model.graph!.output.push(makeValueInfo(value, 1));
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([{ status: 'fused', operator: 'DoraCompose' }]);
    await expectSame(model, result);
  });

  it.each(['conv2d_legacy', 'embedding_legacy'])('keeps the norm of %s where it is a graph output', async (layer) => {
    const name = `${layer}_peft0.21`;
    const model = layerModel(name);
    const division = model.graph!.node.find(({ opType }) => opType === 'Div')!;
    model.graph!.output.push(makeValueInfo(division.output[0]!, 1));
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([{ status: 'fused' }]);
    await expectSameFor(name, model, result);
  });
});

describe('functions of layers', () => {
  /** A layer as a function that is called twice, all its weights passed; the second call has another of one of them. */
  function calledTwice(name: string, changed: string): ModelProto {
    const model = layerModel(name);
    const graph = model.graph!;
    const inputs = ['x', ...graph.initializer.map((tensor) => tensor.name!)];
    const opset = Number(model.opsetImport[0]!.version);
    model.functions.push(
      makeFunction('my.model', 'Layer', { inputs, outputs: ['y'], nodes: graph.node, opsets: { '': opset } }),
    );
    model.opsetImport.push({ domain: 'my.model', version: 1n });
    const other = graph.initializer.find((tensor) => tensor.name!.includes(changed))!;
    const numbers = new Float32Array(inlineBytes(other).slice().buffer).map((value) => value * 1.5 + 0.25);
    graph.initializer.push(makeTensor('other', 1, other.dims.map(Number), numbers));
    const call = (output: string, given: readonly string[]) =>
      makeNode('Layer', given, [output], { name: output, domain: 'my.model' });
    graph.node = [
      call('y', inputs),
      call(
        'z',
        inputs.map((input) => (input === other.name ? 'other' : input)),
      ),
    ];
    graph.output.push(makeValueInfo('z', 1));
    graph.valueInfo = [];
    return model;
  }

  it.each([
    ['embedding_legacy', 'base_layer.weight'],
    ['embedding_legacy', 'magnitude'],
    ['conv2d_legacy', 'base_layer.weight'],
    ['conv2d_legacy', 'lora_A'],
    ['conv2d_legacy', 'magnitude'],
    ['conv1d_gpt2_legacy', 'lora_B'],
  ])('%s with another %s in each call computes g at run time', async (layer, changed) => {
    const name = `${layer}_peft0.21`;
    const model = calledTwice(name, changed);
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([{ status: 'fused', scale: 'runtime', scope: 'my.model::Layer' }]);
    await expectSameFor(name, model, result);
  });
});

async function expectSameFor(layer: string, model: ModelProto, result: ModelProto): Promise<void> {
  await expectSameOn({ x: toTensor(layerArrays(layer).get('x')!) }, model, result);
}

async function expectSame(model: ModelProto, result: ModelProto): Promise<void> {
  await expectSameOn(inputSets(SAMPLE)[0]!.feeds, model, result);
}

async function expectSameOn(feeds: Feeds, model: ModelProto, result: ModelProto): Promise<void> {
  const before = await runModel(model, feeds);
  const after = await runModel(result, feeds);
  for (const [name, tensor] of Object.entries(before)) {
    expect(relativeError(numbersOf(after[name]!), numbersOf(tensor))).toBeLessThan(2e-6);
  }
}
