/**
 * Changes of one thing in a graph, all of them: each constant, edge, attribute, operator and byte in turn, so that nobody
 * has to think of the mistake first.
 */
import {
  type AttributeValue,
  DataType,
  inlineBytes,
  type ModelProto,
  makeAttribute,
  makeTensor,
  type NodeProto,
  type TensorProto,
} from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { toFloat64 } from '../../src/tensors/elements.js';
import { Edit } from '../support/edits.js';
import { toBytes } from '../support/numbers.js';
import type { Value } from './values.js';

/** A change of a copy of the model. */
export interface Mutation {
  readonly kind: string;
  readonly what: string;
  /** Changes the model; returns what must be fed besides, if anything. */
  apply(model: ModelProto): Readonly<Record<string, ort.Tensor>> | undefined;
}

type Random = () => number;

/** All mutations of a model, whose values are `values`. `random` chooses the elements and bits that are changed. */
export function* mutationsOf(model: ModelProto, values: readonly Value[], random: Random): Generator<Mutation> {
  const byName = new Map(values.map((value) => [value.name, value]));
  for (const [position, node] of model.graph!.node.entries()) {
    if (node.opType === 'Constant') continue;
    yield* operatorChanges(node, position);
    yield* attributeChanges(node, position);
    for (const [index, name] of node.input.entries()) {
      const value = byName.get(name);
      if (value === undefined) continue;
      const edge = { node, position, index, value };
      yield* otherValues(edge, values);
      yield* insertions(edge);
      yield* constantChanges(edge, model, random);
    }
  }
  yield* overrides(model, random);
}

interface Edge {
  readonly node: NodeProto;
  readonly position: number;
  readonly index: number;
  readonly value: Value;
}

const nodeAt = (model: ModelProto, position: number) => model.graph!.node[position]!;
const place = ({ opType, output }: NodeProto, index?: number) =>
  `${index === undefined ? '' : `input ${index} of `}${opType} ${output[0]}`;

function edit(kind: string, what: string, change: (edit: Edit) => void): Mutation {
  return {
    kind,
    what,
    apply: (model) => {
      change(new Edit(model));
      return undefined;
    },
  };
}

/** Operators that take the same inputs. */
const ALIKE: readonly (readonly string[])[] = [
  ['Add', 'Sub', 'Mul', 'Div', 'Max', 'Min', 'Pow'],
  ['ReduceL2', 'ReduceL1', 'ReduceSum', 'ReduceSumSquare', 'ReduceMax', 'ReduceMean', 'ReduceLogSumExp'],
  ['Identity', 'Neg', 'Abs', 'Relu', 'Sqrt', 'Exp', 'Reciprocal', 'Sigmoid'],
  ['Equal', 'Less', 'GreaterOrEqual'],
];

function* operatorChanges(node: NodeProto, position: number): Generator<Mutation> {
  for (const opType of ALIKE.find((group) => group.includes(node.opType!)) ?? []) {
    if (opType === node.opType) continue;
    yield edit('operator', `${place(node)} becomes ${opType}`, ({ model }) => {
      nodeAt(model, position).opType = opType;
    });
  }
  if (node.input.length > 1) {
    yield edit('operands', `operands of ${place(node)} swapped`, ({ model }) => {
      const [first = '', second = '', ...more] = nodeAt(model, position).input;
      nodeAt(model, position).input = [second, first, ...more];
    });
    yield edit('operands', `last input of ${place(node)} dropped`, ({ model }) => {
      nodeAt(model, position).input.pop();
    });
  }
}

/** Attributes that operators of the pattern may carry, with values that change what they do. */
const ATTRIBUTES: Readonly<Record<string, readonly (readonly [string, AttributeValue])[]>> = {
  Gemm: [
    ['alpha', { float: 0.5 }],
    ['beta', { float: 0.5 }],
    ['transA', { int: 1 }],
    ['transB', { int: 1 }],
    ['transB', { int: 0 }],
  ],
  Conv: [
    ['pads', { ints: [0, 0, 0, 0] }],
    ['pads', { ints: [1, 0, 1, 2] }],
    ['strides', { ints: [2, 1] }],
    ['dilations', { ints: [1, 2] }],
    ['group', { int: 2 }],
    ['auto_pad', { string: 'SAME_UPPER' }],
  ],
  Gather: [['axis', { int: 1 }]],
  Flatten: [['axis', { int: 2 }]],
  EyeLike: [
    ['k', { int: 1 }],
    ['k', { int: -1 }],
    ['dtype', { int: DataType.FLOAT16 }],
  ],
  ReduceL2: [
    ['keepdims', { int: 1 }],
    ['keepdims', { int: 0 }],
    ['axes', { ints: [0] }],
    ['axes', { ints: [0, 1] }],
    ['axes', { ints: [1, 2] }],
    ['axes', { ints: [0, 2, 3] }],
    ['noop_with_empty_axes', { int: 1 }],
  ],
  ReduceSum: [['keepdims', { int: 1 }]],
  Transpose: [
    ['perm', { ints: [0, 1] }],
    ['perm', { ints: [1, 0] }],
    ['perm', { ints: [0, 2, 1] }],
    ['perm', { ints: [0, 1, 2, 3] }],
    ['perm', { ints: [1, 0, 3, 2] }],
  ],
  Reshape: [['allowzero', { int: 1 }]],
  Cast: [
    ['to', { int: DataType.FLOAT }],
    ['to', { int: DataType.FLOAT16 }],
    ['to', { int: DataType.DOUBLE }],
    ['to', { int: DataType.INT32 }],
    ['to', { int: DataType.UINT8 }],
    ['to', { int: DataType.BOOL }],
  ],
};

function* attributeChanges(node: NodeProto, position: number): Generator<Mutation> {
  for (const { name } of node.attribute) {
    yield edit('attribute', `${name} of ${place(node)} dropped`, ({ model }) => {
      const changed = nodeAt(model, position);
      changed.attribute = changed.attribute.filter((attribute) => attribute.name !== name);
    });
  }
  for (const [name, value] of ATTRIBUTES[node.opType!] ?? []) {
    yield edit('attribute', `${name} of ${place(node)} is ${JSON.stringify(value)}`, ({ model }) => {
      const changed = nodeAt(model, position);
      changed.attribute = [
        ...changed.attribute.filter((attribute) => attribute.name !== name),
        makeAttribute(name, value),
      ];
    });
  }
}

/** The edge reads another value: each one of the same type that is there by then, whatever its shape. */
function* otherValues({ node, position, index, value }: Edge, values: readonly Value[]): Generator<Mutation> {
  for (const other of values) {
    if (other.name === value.name || other.position >= position || other.type !== value.type) continue;
    yield edit('edge', `${place(node, index)} is ${other.name}`, ({ model }) => {
      nodeAt(model, position).input[index] = other.name;
    });
  }
}

/** The edge goes through an operator that does something. */
function* insertions({ node, position, index, value }: Edge): Generator<Mutation> {
  if (value.type !== 'float32' && value.type !== 'float16') return;
  const dataType = value.type === 'float32' ? DataType.FLOAT : DataType.FLOAT16;
  const insert = (opType: string, operand?: number, attributes: Readonly<Record<string, AttributeValue>> = {}) =>
    edit('insertion', `${place(node, index)} through ${opType} ${operand ?? ''}`, (at) => {
      const more: string[] = [];
      if (operand !== undefined) {
        at.graph.initializer.push(makeTensor('operand', dataType, [], toBytes([operand], value.type as 'float32')));
        more.push('operand');
      }
      at.insert(nodeAt(at.model, position).output[0]!, index, opType, more, attributes);
    });
  for (const opType of ['Neg', 'Relu', 'Abs', 'Softmax']) yield insert(opType);
  yield insert('Mul', 1.125);
  yield insert('Add', 0.125);
  yield insert('Max', 0.01);
  yield insert('Pow', 2);
  if (value.dims.length === 2) yield insert('Transpose', undefined, { perm: { ints: [1, 0] } });
  if (value.dims.length > 1) yield insert('Flatten');
}

/** The edge, or everything, reads other numbers from a constant. */
function* constantChanges(
  { node, position, index, value }: Edge,
  model: ModelProto,
  random: Random,
): Generator<Mutation> {
  const tensor = constantTensor(model, value.name);
  if (tensor === undefined) return;
  const count = tensor.dims.reduce((total, dim) => total * Number(dim), 1);
  if (count === 0) return;
  const type = tensor.dataType === DataType.FLOAT ? 'float32' : 'float16';
  const isFloat = tensor.dataType === DataType.FLOAT || tensor.dataType === DataType.FLOAT16;
  const element = Math.floor(random() * count);
  const change = (what: string, changed: (bytes: Uint8Array) => Uint8Array) =>
    edit('constant', `${value.name} as ${place(node, index)} reads it: ${what}`, (at) => {
      const bytes = changed(inlineBytes(constantTensor(at.model, value.name)!).slice());
      at.graph.initializer.push(makeTensor('changed', tensor.dataType!, tensor.dims.map(Number), bytes));
      nodeAt(at.model, position).input[index] = 'changed';
    });
  const bits = inlineBytes(tensor).length * 8;
  for (const bit of [Math.floor(random() * bits), Math.floor(random() * bits)]) {
    yield change(`bit ${bit} flipped`, (bytes) => {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      return bytes;
    });
  }
  if (isFloat) {
    const floats = (of: (number: number, at: number, all: Float64Array) => number) => (bytes: Uint8Array) =>
      toBytes(toFloat64(bytes, type).map(of), type);
    yield change(
      `element ${element} by 1 %`,
      floats((number, at) => (at === element ? number * 1.01 : number)),
    );
    yield change(
      'all by 1 %',
      floats((number) => number * 1.01),
    );
    yield change(
      'negated',
      floats((number) => -number),
    );
    yield change(
      'one more',
      floats((number) => number + 1),
    );
    yield change(
      'reversed',
      floats((_, at, all) => all.at(-1 - at)!),
    );
    yield change(
      'zeros',
      floats(() => 0),
    );
  } else {
    const width = inlineBytes(tensor).length / count;
    yield change(`element ${element} one more`, (bytes) => {
      bytes[element * width]! += 1;
      return bytes;
    });
    yield change('zeros', (bytes) => bytes.fill(0));
    yield change('all ones', (bytes) => bytes.map((_, at) => (at % width === 0 ? 1 : 0)));
    yield change('rotated', (bytes) => Uint8Array.from([...bytes.subarray(width), ...bytes.subarray(0, width)]));
  }
  const [rows, columns] = tensor.dims.map(Number);
  if (tensor.dims.length === 2 && rows === columns) {
    yield change('transposed', (bytes) => {
      const width = bytes.length / count;
      return Uint8Array.from(bytes, (_, at) => {
        const cell = Math.floor(at / width);
        return bytes[((cell % rows!) * rows! + Math.floor(cell / rows!)) * width + (at % width)]!;
      });
    });
  }
}

/** An initializer becomes an input with a default value, and another value is given for it. */
function* overrides(model: ModelProto, random: Random): Generator<Mutation> {
  const given = new Set(model.graph!.input.map(({ name }) => name));
  for (const { name = '', dataType, dims } of model.graph!.initializer) {
    if (given.has(name) || dataType !== DataType.FLOAT) continue;
    const count = dims.reduce((total, dim) => total * Number(dim), 1);
    const data = Float32Array.from({ length: count }, () => random() + 0.25);
    yield {
      kind: 'override',
      what: `${name} is given`,
      apply: (changed) => {
        new Edit(changed).overridable(name);
        return { [name]: new ort.Tensor('float32', data, dims.map(Number)) };
      },
    };
    yield {
      kind: 'override',
      what: `${name} may be given`,
      apply: (changed) => {
        new Edit(changed).overridable(name);
        return undefined;
      },
    };
  }
}

/** An initializer, or the tensor of a Constant node. */
export function constantTensor(model: ModelProto, name: string): TensorProto | undefined {
  const stored = model.graph!.initializer.find((tensor) => tensor.name === name);
  if (stored !== undefined) return stored;
  const node = model.graph!.node.find(({ opType, output }) => opType === 'Constant' && output[0] === name);
  return node?.attribute.find(({ name: attribute }) => attribute === 'value')?.t;
}
