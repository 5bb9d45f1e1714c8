/**
 * Modules of the right structure of which one thing cannot be proved: shapes, element types, numbers. Each is left alone,
 * and the report says what is not known or not equal.
 */
import {
  DataType,
  encodeModel,
  inlineBytes,
  type ModelProto,
  makeTensor,
  makeValueInfo,
  type TensorProto,
} from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { rewriteModelProto } from '../src/rewrite/rewrite-proto.js';
import { inlineTensor } from '../src/tensors/inline.js';
import { expectSameBytes } from './support/bytes.js';
import { Edit } from './support/edits.js';
import { exported } from './support/matrix-exports.js';
import { rewritten } from './support/rewrite.js';

const MODULE = 'm.base_model.model.q_proj';
const W = `${MODULE}.base_layer.weight`;
const BIAS = `${MODULE}.base_layer.bias`;
const A = `${MODULE}.lora_A.default.weight`;
const B = `${MODULE}.lora_B.default.weight`;
const M = `${MODULE}.lora_magnitude_vector.default.weight`;
const LEGACY = '/m/model/q_proj';

type Case = readonly [what: string, change: (edit: Edit) => void, reason: string];

/** With the norm in the graph, one name for each weight; all matrices are 6 × 6. */
const DYNAMO: readonly Case[] = [
  ['a W of three axes', (edit) => edit.setDims(W, [1, 6, 6]), `the shape of the base weight "${W}" is not known`],
  ['a W of unknown rows', (edit) => edit.given(W, ['o', 6]), `the shape of the base weight "${W}" is not known`],
  ['a W of unknown columns', (edit) => edit.given(W, [6, 'i']), `the shape of the base weight "${W}" is not known`],
  ['an A of three axes', (edit) => edit.setDims(A, [1, 6, 6]), `the shapes of "${A}" and "${B}" are not known`],
  ['a B of three axes', (edit) => edit.setDims(B, [1, 6, 6]), `the shapes of "${A}" and "${B}" are not known`],
  ['an A of other inputs', (edit) => setTensor(edit, A, [6, 7], 42), 'A [6,7] and B [6,6] do not fit W [6,6]'],
  ['a B of other outputs', (edit) => setTensor(edit, B, [7, 6], 42), 'A [6,6] and B [7,6] do not fit W [6,6]'],
  ['a B of another rank', (edit) => setTensor(edit, B, [6, 7], 42), 'A [6,6] and B [6,7] do not fit W [6,6]'],
  [
    'a magnitude of one element',
    (edit) => setTensor(edit, M, [1], 1),
    `"${M}" [1] does not have one element per output`,
  ],
  ['a magnitude of unknown length', (edit) => edit.given(M, ['o']), `"${M}" [] does not have one element per output`],
  [
    'an input of unknown rank',
    ({ graph }) => {
      graph.input[0] = { name: 'x', type: { tensorType: { elemType: DataType.FLOAT } }, metadataProps: [] };
    },
    'the rank of "x" is not known, and one of 1 would make the result a row',
  ],
  [
    'a single vector for an input',
    ({ graph }) => {
      graph.input[0] = makeValueInfo('x', DataType.FLOAT, [6]);
    },
    '"x" is a single vector, of which the composition makes a row',
  ],
  [
    'a layer in float64',
    (edit) => {
      setType(edit, W, DataType.DOUBLE);
      declare(edit, 'linear', DataType.DOUBLE);
      edit.graph.input[0] = makeValueInfo('x', DataType.DOUBLE, ['batch', 'seq', 6]);
    },
    'the base layer does not have one float type that the operators know',
  ],
  [
    'an input of another type',
    ({ graph }) => {
      graph.input[0] = makeValueInfo('x', DataType.FLOAT16, ['batch', 'seq', 6]);
    },
    'the base layer does not have one float type that the operators know',
  ],
  [
    'a layer whose result has another type',
    (edit) => declare(edit, 'linear', DataType.FLOAT16),
    'the base layer does not have one float type that the operators know',
  ],
  [
    'a result of unknown type',
    (edit) => declareResult(edit, DataType.DOUBLE),
    'the result is of unknown type, the base float32',
  ],
  [
    'a result of a narrower type',
    (edit) => declareResult(edit, DataType.FLOAT16),
    'the result is float16, the base float32',
  ],
  [
    'factors in float64',
    (edit) => {
      for (const name of [A, B]) setType(edit, name, DataType.DOUBLE);
    },
    'A and B do not have one float type',
  ],
  ['factors of two types', (edit) => setType(edit, B, DataType.FLOAT16), 'A and B do not have one float type'],
  [
    'a magnitude of a narrower type than W',
    (edit) => setType(edit, M, DataType.FLOAT16),
    'the magnitude is float16: expected float32 or float32',
  ],
  [
    'a scaling that is infinite',
    (edit) => {
      const s = edit.scalar('s', Number.POSITIVE_INFINITY);
      edit.setInput('mul', 1, s);
      edit.setInput('mul_3', 1, s);
    },
    'the scaling Infinity is not finite',
  ],
  [
    'a bias of one element',
    (edit) => setTensor(edit, BIAS, [1], 1),
    `the bias "${BIAS}" [1] does not have one element per output`,
  ],
  [
    'a subtracted vector that is computed',
    (edit) => edit.insert('sub', 1, 'Neg'),
    "is subtracted, which is not the layer's bias",
  ],
  [
    'another vector subtracted than a bias that may be given',
    (edit) => {
      edit.setInput('sub', 1, edit.changedCopy(BIAS, 2));
      edit.overridable(BIAS);
    },
    "is subtracted, which is not the layer's bias",
  ],
  [
    'a vector subtracted from a layer without a bias',
    (edit) => dropBias(edit),
    "is subtracted, which is not the layer's bias",
  ],
  [
    'a computed vector subtracted from a layer without a bias',
    (edit) => {
      dropBias(edit);
      edit.insert('sub', 1, 'Neg');
    },
    "is subtracted, which is not the layer's bias",
  ],
  ['an identity matrix of another size', (edit) => storeEye(edit, 5), 'the identity matrix has 5 rows, W 6 inputs'],
  ['g + 1 instead of g − 1', (edit) => setOperator(edit, 'sub_1', 'Add'), 'the base term is not scaled by g − 1'],
  ['a folded D of another W', (edit) => foldDelta(edit, W), "are not proved to be the layer's W and B·A"],
  [
    'a folded D of an A that may be given',
    (edit) => foldDelta(edit, undefined, A),
    "are not proved to be the layer's W and B·A",
  ],
  [
    'a folded D of a B that may be given',
    (edit) => foldDelta(edit, undefined, B),
    "are not proved to be the layer's W and B·A",
  ],
  [
    'a folded D that is negated',
    (edit) => {
      foldDelta(edit);
      edit.insert('mul', 0, 'Neg');
    },
    'expected a MatMul or Gemm, found Neg',
  ],
];

/** With constants for g and g − 1. */
const FOLDED: readonly Case[] = [
  [
    'a g of two rows',
    (edit) => setTensor(edit, 'view', [2, 6], 12),
    '"view" [2,6] does not have one element per output',
  ],
  [
    'a g of three axes',
    (edit) => edit.setDims('view', [1, 1, 6]),
    '"view" [1,1,6] does not have one element per output',
  ],
  [
    'a g of one element per row',
    (edit) => edit.setDims('view', [6, 1]),
    '"view" [6,1] does not have one element per output',
  ],
  ['a g − 1 that may be given', (edit) => edit.overridable('sub_1'), 'the base term is not scaled by g − 1'],
  [
    'a g that may be given beside a g − 1 that may not',
    (edit) => edit.overridable('view'),
    'the base term is not scaled by g − 1',
  ],
  ['a g − 1 that is cast to float64 and back', (edit) => castThere(edit, 'mul_1', 0), 'is not g − 1'],
  ['a g that is cast to float64 and back', (edit) => castThere(edit, 'mul_2', 0), 'is not g − 1'],
  [
    'a scaling that is no float32 number',
    (edit) => {
      edit.setInput('mul_3', 1, edit.scalar('s', 0.1));
      edit.insert('mul_3', 1, 'Mul', [edit.scalar('s2', 0.1)]);
    },
    'is not a float32 number',
  ],
];

const WARM: readonly Case[] = [
  [
    'a cached norm of one element',
    (edit) => {
      edit.graph.initializer.push(makeTensor('norm', DataType.FLOAT, [1], Float32Array.of(2)));
      edit.setInput(`${LEGACY}/default/Div_output_0`, 1, 'norm');
    },
    '"norm" [1] does not have one element per output',
  ],
  [
    'a cached norm of a magnitude that may be given',
    (edit) => edit.overridable(M),
    'the norm is a constant, but the magnitude is not',
  ],
];

const GEMM: readonly Case[] = [
  [
    'a bias of two axes',
    // With six rows it would add one element a row.
    (edit) => edit.setDims(BIAS, [6, 1]),
    `the bias "${BIAS}" [6,1] does not have one element per output`,
  ],
];

const MIXED: readonly Case[] = [
  [
    'a float32 result of a base that is nowhere float32',
    (edit) => {
      edit.setInput(`${LEGACY}/Add_output_0`, 0, `${LEGACY}/base_layer/Add_output_0`);
      declare(edit, `${LEGACY}/Add_output_0`, DataType.FLOAT);
      edit.setAttribute('y', 'to', { int: DataType.FLOAT });
      edit.graph.output[0] = makeValueInfo('y', DataType.FLOAT, ['batch', 'seq', 6]);
    },
    'the base is nowhere float32 as the result is',
  ],
];

const RECOMPUTED: readonly Case[] = [
  [
    'a base term of another input',
    (edit) => edit.insert(`${LEGACY}/MatMul_1_output_0`, 0, 'Abs'),
    'the base term is computed from',
  ],
  [
    'a base term of another W',
    (edit) => {
      const product = edit.node(`${LEGACY}/MatMul_1_output_0`);
      product.input[1] = edit.changedCopy(W, 2);
    },
    'the base term is computed with another weight than the layer',
  ],
];

describe.each([
  ['torch2.15.0-peft0.21.2/dynamo_square', DYNAMO],
  ['torch2.15.0-peft0.21.2/dynamo_square_optimized', FOLDED],
  ['torch2.15.0-peft0.21.2/legacy_square_warm', WARM],
  ['torch2.15.0-peft0.21.2/legacy_2d_square', GEMM],
  ['torch2.15.0-peft0.21.2/legacy_square_mixed', MIXED],
  ['torch2.4.1-peft0.9.0/legacy_square', RECOMPUTED],
] as const)('%s', (name, cases) => {
  it.each(cases)('%s', async (_, change, reason) => {
    const model = exported(name).model();
    change(new Edit(model));
    const { model: result, report } = await rewritten(model);
    expect(report.totals.fused).toBe(0);
    expectSameBytes(encodeModel(result), encodeModel(model));
    // An export without a norm that is left alone is not in the report: nothing says that it was DoRA.
    if (report.modules.length > 0) expect(report.modules[0]!.reason).toContain(reason);
    else expect(name).toMatch(/optimized|warm/);
  });
});

it.each([
  ['the identity matrix', 'dynamo_square', storeEye, 'eye', '"eye" is not an identity matrix'],
  ['a folded D', 'dynamo_square', foldDelta, 'delta', `"${W}" and "delta" are not proved to be the layer's W and B·A`],
  ['a counter', 'dynamo_square', storeCounter, 'counter', '"counter" does not count 0, 1, 2, …'],
])('data of %s that cannot be read', async (_, name, store, unreadable, reason) => {
  const model = exported(`torch2.15.0-peft0.21.2/${name}`).model();
  store(new Edit(model));
  const readable = (tensor: TensorProto) => (tensor.name === unreadable ? undefined : inlineTensor(tensor));
  const report = await rewriteModelProto(model, readable, 'model.onnx');
  expect(report.modules).toMatchObject([{ status: 'skipped', reason }]);
});

describe('the end of a module', () => {
  const mixed = () => exported('torch2.15.0-peft0.21.2/legacy_square_mixed').model();
  const SUM = `${LEGACY}/Add_output_0`;
  const end = async (model: ModelProto) => {
    const { report } = await rewritten(model);
    return report.modules.map((module) => (module.status === 'fused' ? module.values.y : module.reason));
  };

  it('is where the sum is cast back to the type of the layer', async () => {
    expect(await end(mixed())).toEqual(['y']);
  });

  it.each<[string, (edit: Edit) => void]>([
    ['an output of the graph', (edit) => edit.expose(SUM)],
    ['read by another node', (edit) => edit.graph.node.push({ ...edit.node('y'), name: 'again', output: ['again'] })],
    ['cast to another type', (edit) => edit.setAttribute('y', 'to', { int: DataType.BFLOAT16 })],
    [
      'read by an operator that is no cast',
      (edit) => Object.assign(edit.node('y'), { opType: 'Other', domain: 'lib' }),
    ],
  ])('is the sum where that is %s', async (_, change) => {
    const model = mixed();
    change(new Edit(model));
    expect(await end(model)).toEqual([SUM]);
  });
});

it.each([
  ['subtracted from both', 'torch2.15.0-peft0.21.2/legacy_square_two_adapters'],
  ['left out of a product computed again', 'torch2.4.1-peft0.9.0/legacy_square'],
])('keeps a bias that is %s', async (_, name) => {
  const { report } = await rewritten(exported(name).model());
  for (const module of report.modules) expect(module).toMatchObject({ status: 'fused', bias: true });
});

it('leaves a bias out that is all zeros', async () => {
  const model = exported('torch2.15.0-peft0.21.2/dynamo_square').model();
  new Edit(model).tensor(BIAS).rawData = new Uint8Array(24);
  const { report } = await rewritten(model);
  expect(report.modules).toMatchObject([{ status: 'fused', bias: false }]);
});

/** Another tensor of that name, of ones. */
function setTensor(edit: Edit, name: string, dims: readonly number[], count: number): void {
  Object.assign(edit.tensor(name), makeTensor(name, DataType.FLOAT, dims, new Float32Array(count).fill(1)));
}

function setType(edit: Edit, name: string, dataType: number): void {
  const { dims } = edit.tensor(name);
  const count = dims.reduce((product, dim) => product * Number(dim), 1);
  const bytes = new Uint8Array(count * (dataType === DataType.DOUBLE ? 8 : 2));
  Object.assign(edit.tensor(name), makeTensor(name, dataType, dims.map(Number), bytes));
}

/** The layer is used without its bias, which is subtracted all the same. */
function dropBias(edit: Edit): void {
  edit.setInput('sub', 0, 'val_1');
  edit.setInput('y', 0, 'val_1');
  edit.remove('linear');
}

function declare(edit: Edit, value: string, type: number): void {
  edit.graph.valueInfo = edit.graph.valueInfo.filter(({ name }) => name !== value);
  edit.graph.valueInfo.push(makeValueInfo(value, type, ['batch', 'seq', 6]));
}

function declareResult(edit: Edit, type: number): void {
  edit.graph.output[0] = makeValueInfo('y', type, ['batch', 'seq', 6]);
}

function setOperator(edit: Edit, output: string, opType: string): void {
  edit.node(output).opType = opType;
}

function castThere(edit: Edit, reader: string, index: number): void {
  for (const to of [DataType.DOUBLE, DataType.FLOAT]) edit.insert(reader, index, 'Cast', [], { to: { int: to } });
}

function storeEye(edit: Edit, size = 6): void {
  const eye = Float32Array.from({ length: size * size }, (_, index) => Number(index % (size + 1) === 0));
  edit.graph.initializer.push(makeTensor('eye', DataType.FLOAT, [size, size], eye));
  edit.setInput('linear_1', 0, 'eye');
}

function storeCounter(edit: Edit): void {
  edit.graph.initializer.push(makeTensor('counter', DataType.UINT8, [6], Uint8Array.of(0, 1, 2, 3, 4, 5)));
  edit.setInput('eq', 1, 'counter');
}

/** D as a constant, of zeros since B is; one of `changed` copied with another byte, `overridable` replaceable. */
function foldDelta(edit: Edit, changed?: string, overridable?: string): void {
  edit.tensor(B).rawData = new Uint8Array(inlineBytes(edit.tensor(B)).length);
  edit.graph.initializer.push(makeTensor('delta', DataType.FLOAT, [6, 6], new Float32Array(36)));
  edit.setInput('mul', 0, 'delta');
  if (changed !== undefined) edit.setInput('add', 0, edit.changedCopy(changed, 2));
  if (overridable !== undefined) edit.overridable(overridable);
}
