/** Modules inside branches, loops and functions are judged one by one too, and wrong ones are named. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  DataType,
  decodeModel,
  encodeModel,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  makeFunction,
  makeGraph,
  makeNode,
  makeTensor,
  makeValueInfo,
  type NodeProto,
} from '@ort-dora/onnx';
import type { VerificationResult } from '@ort-dora/verify';
import { afterAll, describe, expect, test } from 'vitest';
import { ortDora, samples } from './support/program.js';

const folder = mkdtempSync(join(tmpdir(), 'inner-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sample = (name: string): ModelProto =>
  decodeModel(new Uint8Array(readFileSync(join(samples, name, 'model.onnx'))));

/** An export of a layer of another kind. */
const layer = (name: string): ModelProto =>
  decodeModel(gunzipSync(readFileSync(new URL(`../../rewriter/test/layers/${name}.onnx.gz`, import.meta.url))));

/** Both branches hold the sample's layer, the weights outside; or inside, in the first. */
function inBranches(model: ModelProto, weights: 'outside' | 'inside'): ModelProto {
  const graph = model.graph!;
  const branch = (prefix: string, own: boolean): GraphProto => {
    const names = new Set(graph.node.flatMap(({ output }) => output));
    const rename = (value: string) => (names.has(value) ? `${prefix}.${value}` : value);
    const nodes = graph.node.map((node) => ({
      ...node,
      input: node.input.map(rename),
      output: node.output.map(rename),
    }));
    return makeGraph(prefix, {
      nodes,
      initializers: own ? graph.initializer : [],
      outputs: graph.output.map((info) => ({ ...info, name: rename(info.name ?? '') })),
    });
  };
  const inside = weights === 'inside';
  const choice = makeNode('If', ['condition'], ['y'], {
    name: 'choice',
    attributes: { then_branch: { graph: branch('then', inside) }, else_branch: { graph: branch('else', false) } },
  });
  graph.input.push(makeValueInfo('condition', DataType.BOOL, []));
  return { ...model, graph: { ...graph, node: [choice], valueInfo: [] } };
}

/** The layer in a loop's body, on what the loop carries in; its weights outside. */
function inLoop(name: string): ModelProto {
  const model = sample(name);
  const graph = model.graph!;
  const [{ type }] = graph.input as [(typeof graph.input)[0]];
  const body = makeGraph('body', {
    inputs: [
      makeValueInfo('step', DataType.INT64, []),
      makeValueInfo('go', DataType.BOOL, []),
      { ...graph.input[0]!, name: 'x' },
    ],
    nodes: [makeNode('Identity', ['go'], ['go.on']), makeNode('Identity', ['x'], ['x.same']), ...graph.node],
    outputs: [
      makeValueInfo('go.on', DataType.BOOL, []),
      { ...graph.input[0]!, name: 'x.same', type },
      graph.output[0]!,
    ],
  });
  const node = makeNode('Loop', ['steps', '', 'given'], ['last', 'y.all'], {
    name: 'repeat',
    attributes: { body: { graph: body } },
  });
  graph.initializer.push(makeTensor('steps', DataType.INT64, [], BigInt64Array.of(2n)));
  return {
    ...model,
    graph: {
      ...graph,
      node: [node],
      input: [{ ...graph.input[0]!, name: 'given' }],
      output: [makeValueInfo('y.all', graph.output[0]!.type!.tensorType!.elemType!)],
      valueInfo: [],
    },
  };
}

/** The layer as a function that is called twice, its weights passed, the second time with another bias; or constants inside. */
function inFunction(name: string, weights: 'passed' | 'constant'): ModelProto {
  const model = sample(name);
  const graph = model.graph!;
  const opset = Number(model.opsetImport.find(({ domain }) => !domain)!.version);
  const passed = weights === 'passed';
  const constants = graph.initializer.map((tensor) =>
    makeNode('Constant', [], [tensor.name!], { attributes: { value: { tensor } } }),
  );
  const inputs = ['x', ...(passed ? graph.initializer.map((tensor) => tensor.name!) : [])];
  const layer: FunctionProto = makeFunction('my.model', 'Layer', {
    inputs,
    outputs: ['y'],
    nodes: [...(passed ? [] : constants), ...graph.node],
    opsets: { '': opset },
  });
  const bias = graph.initializer.find((tensor) => tensor.name!.endsWith('bias'))!;
  const other = { ...bias, name: 'other.bias', rawData: new Uint8Array(bias.rawData!.length) };
  const call = (output: string, given: readonly string[]): NodeProto =>
    makeNode('Layer', given, [output], { name: output, domain: 'my.model' });
  return {
    ...model,
    opsetImport: [...model.opsetImport, { domain: 'my.model', version: 1n }],
    functions: [layer],
    graph: {
      ...graph,
      initializer: passed ? [...graph.initializer, other] : [],
      node: [
        call('y', inputs),
        call(
          'z',
          inputs.map((input) => (input === bias.name ? 'other.bias' : input)),
        ),
      ],
      output: [graph.output[0]!, { ...graph.output[0]!, name: 'z' }],
      valueInfo: [],
    },
  };
}

const cases: readonly (readonly [string, () => ModelProto, string[]])[] = [
  [
    'branches, weights outside',
    () => inBranches(sample('c05_linear_bias_dynamo_640'), 'outside'),
    ['choice.then_branch', 'choice.else_branch'],
  ],
  [
    'branches, weights in one',
    () => inBranches(sample('c01b_linear_bias_legacy_fold_640'), 'inside'),
    ['choice.then_branch', 'choice.else_branch'],
  ],
  [
    'branches in half precision',
    () => inBranches(sample('c10_fp16base_fp32adapter_dynamo'), 'outside'),
    ['choice.then_branch', 'choice.else_branch'],
  ],
  [
    'branches with an embedding',
    () => inBranches(sample('c14b_embedding_legacy_nofold'), 'outside'),
    ['choice.then_branch', 'choice.else_branch'],
  ],
  [
    'branches with two adapters',
    () => inBranches(sample('c18b_two_adapters_nobias_legacy'), 'outside'),
    ['choice.then_branch', 'choice.then_branch', 'choice.else_branch', 'choice.else_branch'],
  ],
  [
    "branches with GPT-2's Conv1D",
    () => inBranches(layer('conv1d_gpt2_legacy_peft0.21'), 'outside'),
    ['choice.then_branch', 'choice.else_branch'],
  ],
  [
    'branches with a convolution',
    () => inBranches(layer('conv2d_legacy_peft0.21'), 'inside'),
    ['choice.then_branch', 'choice.else_branch'],
  ],
  ['a loop', () => inLoop('c05_linear_bias_dynamo_640'), ['repeat.body']],
  ['a function, weights passed', () => inFunction('c05_linear_bias_dynamo_640', 'passed'), ['my.model::Layer']],
  ['a function of constants', () => inFunction('c05_linear_bias_dynamo_640', 'constant'), ['my.model::Layer']],
];

let files = 0;
function write(model: ModelProto): string {
  const path = join(folder, `${files++}.onnx`);
  writeFileSync(path, encodeModel(model));
  return path;
}

describe.each(cases)('%s', (_, make, scopes) => {
  const original = write(make());
  const rewritten = `${original}.fused`;

  test('each module is judged by itself, on generated inputs', async () => {
    const { code, stdout, stderr } = await ortDora('rewrite', original, rewritten, '--verify', '--json');
    expect(stderr).not.toContain('ort-dora: ');
    expect(code).toBe(0);
    const { verification }: { verification: VerificationResult } = JSON.parse(stdout);
    expect(verification.unchecked).toEqual([]);
    expect(verification.modules.map(({ scope }) => scope)).toEqual(scopes);
    for (const module of verification.modules) {
      expect(module).toMatchObject({ inputs: 'generated', passed: true });
      expect(module.rows).toBeGreaterThan(5);
      expect(module.errorOriginal).toBeGreaterThan(0);
    }
  });

  test('and named where it is wrong', async () => {
    const model = decodeModel(new Uint8Array(readFileSync(rewritten)));
    const found = operators(model);
    expect(found.length).toBeGreaterThanOrEqual(new Set(scopes).size);
    const scaling = found.at(-1)!.attribute.find(({ name }) => name === 'scaling')!;
    scaling.f = scaling.f! * 1.02;
    const { code, stdout } = await ortDora('verify', original, write(model), '--json');
    expect(code).toBe(3);
    const failed = (JSON.parse(stdout) as VerificationResult).modules.filter(({ passed }) => !passed);
    expect(failed.map(({ scope }) => scope)).toEqual([scopes.at(-1)]);
  });
});

/** The fused operators of all graphs, in order. */
function operators(model: ModelProto): NodeProto[] {
  const within = (nodes: readonly NodeProto[]): NodeProto[] =>
    nodes.flatMap((node) => [
      ...(node.domain === 'ort.dora' ? [node] : []),
      ...node.attribute.flatMap(({ g }) => (g ? within(g.node) : [])),
    ]);
  return [
    ...within(model.graph!.node),
    ...model.functions.filter(({ domain }) => domain !== 'ort.dora').flatMap(({ node }) => within(node)),
  ];
}
