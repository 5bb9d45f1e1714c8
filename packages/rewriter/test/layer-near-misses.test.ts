/** Layers that are DoRA but for one thing: each is left exactly as it is, with the reason. */
import { encodeModel, makeNode, makeTensor } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { expectSameBytes } from './support/bytes.js';
import { Edit } from './support/edits.js';
import { layerModel } from './support/layers.js';
import { rewritten } from './support/rewrite.js';

const WEIGHT = 'base_model.model.proj.base_layer.weight';
const BIAS = 'base_model.model.proj.base_layer.bias';
const A = 'base_model.model.proj.lora_A.default.weight';
const B = 'base_model.model.proj.lora_B.default.weight';
const MAGNITUDE = 'base_model.model.proj.lora_magnitude_vector.default.weight';

/** The tensors of the dynamo exporter. */
const FOLDED = { weight: `m.${WEIGHT}`, a: `m.${A}`, b: `m.${B}` };

/** s·B·A. */
const SCALED_DELTA = '/model/proj/default/Mul_output_0';

type Case = readonly [what: string, change: (edit: Edit) => void, reason: RegExp];

const CONVOLUTION: readonly Case[] = [
  ['the norm of another W', (edit) => changeReader(edit, WEIGHT, 'Add'), /W .* not proved/],
  ['the norm of another A', (edit) => changeReader(edit, A, 'Reshape'), /A .* not proved/],
  ['the norm of another B', (edit) => changeReader(edit, B, 'Reshape'), /B .* not proved/],
  ['another bias subtracted', (edit) => changeReader(edit, BIAS, 'Reshape'), /not the layer's bias/],
  ['another s in the norm', (edit) => edit.setInput(SCALED_DELTA, 1, edit.scalar('s', 2)), /scaled by/],
  ['an epsilon in the norm', (edit) => insertBefore(edit, 'Transpose', 'Add', 1e-6), /plain norm/],
  ['another norm', (edit) => setOperator(edit, 'ReduceL2', 'ReduceL1'), /plain norm/],
  ['a norm without a kernel axis', (edit) => setInts(edit, 'ReduceL2', 'axes', [1, 2]), /all axes but the outputs/],
  [
    'a norm with batch and outputs unswapped',
    (edit) => setInts(edit, 'Transpose', 'perm', [0, 1, 2, 3]),
    /\[1, out, 1…\]|plain norm/,
  ],
  ['a difference in the norm', (edit) => setOperator(edit, 'Add', 'Sub'), /not a sum/],
  ['a bias in B·A', (edit) => addToProduct(edit), /adds a bias/],
  ['B·A of another B', (edit) => transposeFactor(edit), /transposes a factor|not proved/],
  ['another padding of A', (edit) => setConvolution(edit, A, 'pads', [0, 1, 2, 1]), /does not move/],
  ['another stride of A', (edit) => setConvolution(edit, A, 'strides', [1, 2]), /does not move/],
  ['another dilation of A', (edit) => setConvolution(edit, A, 'dilations', [1, 2]), /does not move/],
  ['another kernel of A', (edit) => edit.setDims(A, [2, 6, 9, 1]), /do not fit/],
  ['a B of more than points', (edit) => edit.setDims(B, [4, 1, 2, 1]), /do not fit/],
  ['a padded B', (edit) => setConvolution(edit, B, 'pads', [0, 0, 0, 0, 0, 1].slice(2)), /each point/],
  ['a B of strides', (edit) => setConvolution(edit, B, 'strides', [1, 2]), /each point/],
  ['a bias of A', (edit) => convolution(edit, A).input.push(edit.vector('bias', [1, 2])), /adds a bias/],
  ['a bias of B', (edit) => convolution(edit, B).input.push(BIAS), /adds a bias/],
  [
    'a base term with its bias',
    (edit) => edit.setInput('/model/proj/default/Mul_1_output_0', 1, '/model/proj/base_layer/Conv_output_0'),
    /still holds the bias/,
  ],
  ['a transposed convolution', (edit) => setOperator(edit, 'Conv', 'ConvTranspose'), /not the result of a convolution/],
  [
    'another base term',
    (edit) => edit.setInput('/model/proj/default/Sub_output_0', 0, '/model/proj/default/default_1/Conv_output_0'),
    /base layer/,
  ],
  [
    'another input of A',
    (edit) => edit.insert('/model/proj/default/default/Conv_output_0', 0, 'Abs'),
    /the adapter reads/,
  ],
  ['a bias subtracted along the last axis', (edit) => subtractVector(edit), /is not \[1, 4, 1…\]/],
  ['a magnitude along the last axis', (edit) => reshapeMagnitude(edit), /is not \[1, 4, 1…\]|not known/],
];

const FOLDED_CONVOLUTION: readonly Case[] = [
  ['a W of unknown outputs', (edit) => edit.given(FOLDED.weight, ['o', 6, 3, 3]), /shapes of W, A and B are not known/],
  ['an A of unknown rank', (edit) => edit.given(FOLDED.a, ['r', 6, 3, 3]), /shapes of W, A and B are not known/],
  ['a B of unknown outputs', (edit) => edit.given(FOLDED.b, ['o', 2, 1, 1]), /shapes of W, A and B are not known/],
  ['a B of fewer axes', (edit) => edit.setDims(FOLDED.b, [4, 2, 1]), /do not fit W/],
  ['a B of more outputs', (edit) => edit.setDims(FOLDED.b, [8, 1, 1, 1]), /do not fit W/],
  ['a g of fewer axes', (edit) => edit.setDims('div', [1, 4, 1]), /"div" \[1,4,1\] is not \[1, 4, 1…\]/],
  ['a g of outputs at the end', (edit) => edit.setDims('div', [1, 1, 1, 4]), /is not \[1, 4, 1…\]/],
  ['a g − 1 of outputs at the end', (edit) => edit.setDims('sub_1', [1, 1, 1, 4]), /is not \[1, 4, 1…\]/],
  ['an A in groups', (edit) => edit.setAttribute('conv2d_1', 'group', { int: 2 }), /does not move/],
  ['a B in groups', (edit) => edit.setAttribute('conv2d_2', 'group', { int: 2 }), /not applied to each point/],
  ['another g − 1', (edit) => edit.setInput('mul_1', 0, edit.changedCopy('sub_1', 2)), /is not g − 1/],
];

const POINTWISE: readonly Case[] = [
  ["B·A in a shape that is not W's", (edit) => reshapeDelta(edit, [4n, 1n, 6n, 1n]), /W's shape/],
];

const RECOMPUTED: readonly Case[] = [
  ['a base term of another W', (edit) => changeLastReader(edit, WEIGHT, 'Conv'), /another weight/],
  [
    'a base term of another input',
    (edit) => edit.insert('/model/proj/Conv_output_0', 0, 'Abs'),
    /the base term is computed from/,
  ],
  [
    'a base term that moves differently',
    (edit) => edit.setAttribute('/model/proj/Conv_output_0', 'pads', { ints: [0, 1, 2, 1] }),
    /moves differently/,
  ],
  ['a base term with a bias', (edit) => edit.node('/model/proj/Conv_output_0').input.push(BIAS), /adds a bias/],
];

const EMBEDDING: readonly Case[] = [
  ['the norm of another W', (edit) => changeReader(edit, WEIGHT, 'Transpose'), /W .* not proved/],
  ['other rows for the adapter', (edit) => edit.insert(last(edit, 'Gather').output[0]!, 1, 'Abs'), /the adapter reads/],
  ['a difference', (edit) => setLast(edit, 'Add', 'Sub'), /expected an Add|not used by a composition/],
  ['the base over g', (edit) => setLast(edit, 'Mul', 'Div'), /sum is not base/],
  [
    'the adapter times m',
    (edit) => edit.insert(last(edit, 'Add').output[0]!, 1, 'Mul', [MAGNITUDE]),
    /one g|sum is not base/,
  ],
  ['elements looked up', (edit) => setOperator(edit, 'Gather', 'GatherElements'), /not looked up/],
  ['columns looked up', (edit) => edit.setAttribute(last(edit, 'Gather').output[0]!, 'axis', { int: 1 }), /rows/],
  ['another s in the norm', (edit) => edit.setInput(SCALED_DELTA, 1, edit.scalar('s', 2)), /scaled by/],
  ['two different g', (edit) => edit.insert('/model/proj/Mul_output_0', 0, 'Abs'), /one g|sum is not base/],
  ['a norm over the other axis', (edit) => setInts(edit, 'ReduceL2', 'axes', [0]), /over the inputs/],
];

const SCALED: readonly Case[] = [
  [
    'another scale of the adapter',
    (edit) => edit.setInput('/model/proj/Mul_output_0', 1, edit.scalar('other', 2)),
    /scaled by/,
  ],
  [
    'a scale that is no number',
    (edit) => edit.setInput('/model/proj/base_layer/Mul_output_0', 1, MAGNITUDE),
    /something else than a number/,
  ],
  [
    'an infinite scale',
    (edit) => {
      edit.setInput('/model/proj/base_layer/Mul_output_0', 1, edit.scalar('scale', Number.POSITIVE_INFINITY));
      // As before PEFT 0.18, which scales the base alone.
      edit.setInput('/model/proj/Add_output_0', 1, '/model/proj/default/Mul_2_output_0');
    },
    /the embedding is scaled by Infinity/,
  ],
];

const FLATTENED: readonly Case[] = [
  ['other leading axes', (edit) => swapAxes(edit), /leading axes/],
  ['leading axes of another value', (edit) => shapeOfAnother(edit), /leading axes/],
  ['another bias subtracted', (edit) => changeReader(edit, BIAS, 'Sub'), /not the layer's bias/],
  ['a Gemm of its own input', (edit) => edit.insert('/model/proj/base_layer/Gemm_output_0', 0, 'Abs'), /not flattened/],
];

describe.each([
  ['conv2d_legacy_peft0.21', CONVOLUTION],
  ['conv2d_dynamo_peft0.21', FOLDED_CONVOLUTION],
  ['conv2d_pointwise_dilated_legacy_peft0.21', POINTWISE],
  ['conv2d_legacy_peft0.11', RECOMPUTED],
  ['embedding_legacy_peft0.21', EMBEDDING],
  ['embedding_scaled_legacy_peft0.21', SCALED],
  ['conv1d_gpt2_legacy_peft0.21', FLATTENED],
] as const)('%s', (name, cases) => {
  it.each(cases)('%s', async (_, change, reason) => {
    const model = layerModel(name);
    change(new Edit(model));
    const { model: result, report } = await rewritten(model);
    expect(report.modules).toMatchObject([{ status: 'skipped', reason: expect.stringMatching(reason) }]);
    expectSameBytes(encodeModel(result), encodeModel(model));
  });
});

it.each(['conv2d_legacy', 'embedding_legacy'])('%s that multiplies by the norm is none', async (name) => {
  const model = layerModel(`${name}_peft0.21`);
  setOperator(new Edit(model), 'Div', 'Mul');
  const { model: result, report } = await rewritten(model);
  expect(report.modules).toEqual([]);
  expectSameBytes(encodeModel(result), encodeModel(model));
});

it('leaves the bias of a convolution out that is all zeros', async () => {
  const model = layerModel('conv2d_legacy_peft0.21');
  new Edit(model).tensor(BIAS).rawData = new Uint8Array(16);
  const { report } = await rewritten(model);
  expect(report.modules).toMatchObject([{ status: 'fused', bias: false }]);
});

const nodesOf = (edit: Edit, opType: string) => edit.graph.node.filter((node) => node.opType === opType);
const last = (edit: Edit, opType: string) => nodesOf(edit, opType).at(-1)!;
const convolution = (edit: Edit, weight: string) => nodesOf(edit, 'Conv').find(({ input }) => input[1] === weight)!;

/** Lets the first node of a kind that reads a tensor read a copy in which one byte differs. */
function changeReader(edit: Edit, tensor: string, opType: string): void {
  const reader = nodesOf(edit, opType).find(({ input }) => input.includes(tensor))!;
  reader.input[reader.input.indexOf(tensor)] = edit.changedCopy(tensor, 2);
}

function changeLastReader(edit: Edit, tensor: string, opType: string): void {
  const reader = nodesOf(edit, opType).findLast(({ input }) => input.includes(tensor))!;
  reader.input[reader.input.indexOf(tensor)] = edit.changedCopy(tensor, 2);
}

function insertBefore(edit: Edit, reader: string, opType: string, number: number): void {
  edit.insert(nodesOf(edit, reader)[0]!.output[0]!, 0, opType, [edit.scalar('number', number)]);
}

function setOperator(edit: Edit, from: string, to: string): void {
  nodesOf(edit, from)[0]!.opType = to;
}

function setLast(edit: Edit, from: string, to: string): void {
  last(edit, from).opType = to;
}

function setInts(edit: Edit, opType: string, name: string, ints: readonly number[]): void {
  edit.setAttribute(nodesOf(edit, opType)[0]!.output[0]!, name, { ints });
}

function setConvolution(edit: Edit, weight: string, name: string, ints: readonly number[]): void {
  edit.setAttribute(convolution(edit, weight).output[0]!, name, { ints });
}

function reshapeDelta(edit: Edit, shape: readonly bigint[]): void {
  const target = edit.node('/model/proj/default/Reshape_2_output_0');
  edit.graph.initializer.push(makeTensor('shape', 7, [shape.length], BigInt64Array.from(shape)));
  target.input[1] = 'shape';
}

/** A third input of the Gemm; the exporter writes `beta = 0` where there is none. */
function addToProduct(edit: Edit): void {
  const gemm = edit.node('/model/proj/default/Gemm_output_0');
  gemm.input.push(edit.scalar('addend', 1));
  edit.setAttribute(gemm.output[0]!, 'beta', { float: 1 });
}

/** B as a matrix, read through a Transpose as `[r, out]`, and the Gemm transposing it back into something else. */
function transposeFactor(edit: Edit): void {
  const gemm = edit.node('/model/proj/default/Gemm_output_0');
  edit.setAttribute(gemm.output[0]!, 'transA', { int: 1 });
  edit.insert(gemm.output[0]!, 0, 'Transpose', [], { perm: { ints: [1, 0] } });
}

/** The bias itself, not as `[1, out, 1, 1]`: the result's last axis has as many elements as there are outputs. */
function subtractVector(edit: Edit): void {
  edit.setInput('/model/proj/default/Sub_output_0', 1, BIAS);
}

function reshapeMagnitude(edit: Edit): void {
  edit.tensor(MAGNITUDE).dims = [1n, 1n, 1n, 4n];
}

/** The unflattened result takes its leading axes in the other order. */
function swapAxes(edit: Edit): void {
  const axes = nodesOf(edit, 'Concat')[1]!;
  const [first, second] = axes.input;
  axes.input.splice(0, 2, second!, first!);
}

/** The leading axes are those of a value that may be shaped otherwise. */
function shapeOfAnother(edit: Edit): void {
  edit.graph.node.unshift(makeNode('Abs', ['x'], ['x.abs']));
  edit.graph.node.find(({ opType }) => opType === 'Shape')!.input[0] = 'x.abs';
}
