/** DoRA on GPT-2's Conv1D, embeddings and convolutions: real exports, made by `layers/export.py`. */
import { readdirSync } from 'node:fs';
import { encodeModel, type ModelProto } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { expectSameBytes } from './support/bytes.js';
import { Edit } from './support/edits.js';
import { LAYERS_FOLDER, layerArrays, layerModel } from './support/layers.js';
import { toNumbers, toTensor } from './support/npz.js';
import { relativeError } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { rewritten } from './support/rewrite.js';
import { numbersOf } from './support/tensors.js';

const NAMES = readdirSync(LAYERS_FOLDER)
  .filter((file) => file.endsWith('.onnx.gz'))
  .map((file) => file.replace('.onnx.gz', ''));

/** Whether the exporter has folded the norm: optimised dynamo exports of small layers. */
const isFolded = (name: string) => /_dynamo_peft/.test(name) && !name.includes('large');

/** What is expected of an export by its name: kind, exporter, version. */
function expectations(name: string) {
  const composeOnly = isFolded(name);
  const linear = name.startsWith('conv1d_gpt2');
  const embedding = name.startsWith('embedding');
  const delta = linear ? 'equalEye' : 'constantDelta';
  const module = (adapter: string, rank: number, scaling: number, base: string) => ({
    status: 'fused',
    path: 'proj',
    kind: linear ? 'linear' : embedding ? 'embedding' : 'conv',
    operator: linear && base !== 'adapted' ? 'DoraLinear' : 'DoraCompose',
    rank,
    scaling,
    bias: !embedding && !name.includes('nobias'),
    form: { norm: composeOnly ? 'composeOnly' : 'full', ...(name.includes('large') ? { delta } : {}), base },
    ...(composeOnly ? {} : { adapter }),
  });
  const base = linear ? 'Reshape+Gemm+bias' : embedding ? 'Gather' : name.includes('nobias') ? 'Conv' : 'Conv+bias';
  const first = module('default', 2, 1.5, name.includes('scaled') ? 'Gather+Mul' : base);
  return name.includes('two_adapters') ? [first, module('second', 1, 1, 'adapted')] : [first];
}

/** The norm of a grouped convolution is none of rows: where it is in the graph, the module is left alone. */
const isGroupedNorm = (name: string) => name.includes('groups') && !isFolded(name);

describe.each(NAMES.filter((name) => !isGroupedNorm(name)))('%s', (name) => {
  it.each([
    ['linear', 'stored'],
    ['linear', 'runtime'],
    // Embeddings and convolutions have DoraCompose in either form.
    ...(name.startsWith('conv1d_gpt2') ? [['compose', 'stored'] as const] : []),
  ] as const)('is fused and right, form %s, scale %s', async (form, scale) => {
    const model = layerModel(name);
    const { model: result, report } = await rewritten(model, { form, scale });
    const operator = form === 'compose' ? { operator: 'DoraCompose' } : {};
    const stored = isFolded(name) ? 'constant' : scale;
    expect(report.modules).toMatchObject(
      expectations(name).map((module) => ({ ...module, ...operator, scale: stored })),
    );
    await expectAtMostTwiceTheError(name, model, result);
    const again = await rewritten(result, { form, scale });
    expect(again.report.totals).toMatchObject({ fused: 0, skipped: 0, already: report.totals.fused });
  });
});

it.each(NAMES.filter(isGroupedNorm))('%s is left alone', async (name) => {
  const model = layerModel(name);
  const { model: result, report } = await rewritten(model);
  expect(report.modules).toMatchObject([
    {
      status: 'skipped',
      path: 'proj',
      reason: 'the convolution has 2 groups, and its norm is not that of rows of W + s·B·A',
    },
  ]);
  expectSameBytes(encodeModel(result), encodeModel(model));
});

describe('what differs by a little', () => {
  const BASE = 'base_model.model.proj.base_layer';
  const LORA = 'base_model.model.proj.lora';
  const cases: [string, string, (edit: Edit) => void, RegExp][] = [
    [
      'conv2d_legacy',
      'the norm of another W',
      (edit) => changeInput(edit, 'Add', 0, `${BASE}.weight`),
      /W .* not proved/,
    ],
    [
      'conv2d_legacy',
      'the norm of another A',
      (edit) => changeReader(edit, `${LORA}_A.default.weight`, 'Reshape'),
      /A .* not proved/,
    ],
    [
      'conv2d_legacy',
      'the norm of another B',
      (edit) => changeReader(edit, `${LORA}_B.default.weight`, 'Reshape'),
      /B .* not proved/,
    ],
    [
      'conv2d_legacy',
      'another bias subtracted',
      (edit) => changeReader(edit, `${BASE}.bias`, 'Reshape'),
      /not the layer's bias/,
    ],
    [
      'conv2d_legacy',
      'a norm without a kernel axis',
      (edit) => setAttribute(edit, 'ReduceL2', 'axes', [1, 2]),
      /all axes but the outputs/,
    ],
    [
      'conv2d_legacy',
      'another padding of A',
      (edit) => setConv(edit, `${LORA}_A.default.weight`, 'pads', [0, 1, 2, 1]),
      /does not move/,
    ],
    [
      'conv2d_legacy',
      'another dilation of A',
      (edit) => setConv(edit, `${LORA}_A.default.weight`, 'dilations', [1, 2]),
      /does not move/,
    ],
    [
      'conv2d_nobias_strided_legacy',
      'another stride',
      (edit) => setConv(edit, `${BASE}.weight`, 'strides', [2, 1]),
      /does not move/,
    ],
    [
      'embedding_legacy',
      'the norm of another W',
      (edit) => changeReader(edit, `${BASE}.weight`, 'Transpose'),
      /W .* not proved/,
    ],
    ['embedding_legacy', 'other rows for the adapter', (edit) => changeIds(edit), /the adapter reads/],
    ['embedding_legacy', 'columns looked up', (edit) => setAttribute(edit, 'Gather', 'axis', 1), /rows/],
    ['embedding_scaled_legacy', 'another scale of the adapter', (edit) => changeLastScale(edit), /scaled by/],
    ['conv1d_gpt2_legacy', 'other leading axes', (edit) => swapAxes(edit), /leading axes/],
    [
      'conv1d_gpt2_legacy',
      'another bias subtracted',
      (edit) => changeReader(edit, `${BASE}.bias`, 'Sub'),
      /not the layer's bias/,
    ],
  ];

  it.each(cases)('%s: %s', async (kind, _, change, reason) => {
    const model = layerModel(`${kind}_peft0.21`);
    change(new Edit(model));
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([{ status: 'skipped', reason: expect.stringMatching(reason) }]);
    expectSameBytes(encodeModel(result), encodeModel(model));
  });
});

async function expectAtMostTwiceTheError(name: string, model: ModelProto, result: ModelProto): Promise<void> {
  const arrays = layerArrays(name);
  const feeds = { x: toTensor(arrays.get('x')!) };
  const reference = toNumbers(arrays.get('y')!);
  const error = async (of: ModelProto) => relativeError(numbersOf((await runModel(of, feeds)).y!), reference);
  const rounding = name.includes('half') ? 2 ** -11 : 2 ** -24;
  expect(await error(result)).toBeLessThanOrEqual(2 * (await error(model)) + rounding);
}

const nodesOf = (edit: Edit, opType: string) => edit.graph.node.filter((node) => node.opType === opType);

/** Lets the first node of a kind read a copy of a tensor in which one byte differs. */
function changeInput(edit: Edit, opType: string, index: number, tensor: string): void {
  nodesOf(edit, opType)[0]!.input[index] = edit.changedCopy(tensor, 2);
}

/** Lets the node of a kind that reads a tensor read a copy in which one byte differs. */
function changeReader(edit: Edit, tensor: string, opType: string): void {
  const reader = nodesOf(edit, opType).find(({ input }) => input.includes(tensor))!;
  reader.input[reader.input.indexOf(tensor)] = edit.changedCopy(tensor, 2);
}

function setAttribute(edit: Edit, opType: string, name: string, value: number | number[]): void {
  const node = nodesOf(edit, opType).at(-1)!;
  edit.setAttribute(node.output[0]!, name, typeof value === 'number' ? { int: value } : { ints: value });
}

function setConv(edit: Edit, weight: string, name: string, ints: number[]): void {
  const node = nodesOf(edit, 'Conv').find(({ input }) => input.includes(weight))!;
  edit.setAttribute(node.output[0]!, name, { ints });
}

function changeIds(edit: Edit): void {
  const gather = nodesOf(edit, 'Gather').at(-1)!;
  edit.insert(gather.output[0]!, 1, 'Abs');
}

function changeLastScale(edit: Edit): void {
  const mul = edit.node('/model/proj/Mul_output_0');
  mul.input[1] = edit.scalar('other', 2);
}

/** The unflattened result takes its leading axes in the other order. */
function swapAxes(edit: Edit): void {
  const [first, second] = nodesOf(edit, 'Concat')[1]!.input;
  nodesOf(edit, 'Concat')[1]!.input.splice(0, 2, second!, first!);
}
