/** DoRA inside subgraphs and model-local functions. */
import {
  decodeModel,
  encodeModel,
  type ModelProto,
  makeFunction,
  makeNode,
  makeTensor,
  makeValueInfo,
} from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { expectSameBytes } from './support/bytes.js';
import { relativeError } from './support/numbers.js';
import { runModel } from './support/ort.js';
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

async function expectSame(model: ModelProto, result: ModelProto): Promise<void> {
  const { feeds } = inputSets(SAMPLE)[0]!;
  const before = await runModel(model, feeds);
  const after = await runModel(result, feeds);
  for (const [name, tensor] of Object.entries(before)) {
    expect(relativeError(numbersOf(after[name]!), numbersOf(tensor))).toBeLessThan(2e-6);
  }
}
