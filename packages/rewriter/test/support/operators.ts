/** Running one operator of `ort.dora` through its function body. */
import { DataType, type ModelProto, makeNode, makeValueInfo } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import type { FloatType, OperatorForm } from '../../src/functions/form.js';
import { makeOperatorModel, type OperatorAttributes, operatorSignature } from '../../src/functions/function.js';
import { DATA_TYPE } from '../../src/tensors/elements.js';
import { rounded, seeded, toBytes, transposed } from './numbers.js';
import { runModel } from './ort.js';

/** Relative to the largest value: a few roundings of the type that the result is stored or multiplied in. */
export const TOLERANCE: Readonly<Record<FloatType, number>> = { float32: 2e-6, float16: 4e-3, bfloat16: 3e-2 };

/** T and U of the operators. */
export const TYPES = [
  ['float32', 'float32'],
  ['float16', 'float32'],
  ['float16', 'float16'],
  ['bfloat16', 'float32'],
  ['bfloat16', 'bfloat16'],
] as const;

/** A tensor in one of the operators' types. */
export interface TestValue {
  readonly type: FloatType;
  readonly dims: readonly number[];
  readonly bytes: Uint8Array;
  /** The values after rounding to the type. */
  readonly values: Float64Array;
}

export function value(values: ArrayLike<number>, dims: readonly number[], type: FloatType): TestValue {
  return { type, dims, bytes: toBytes(values, type), values: rounded(values, type) };
}

export function random(count: number, seed: number): Float64Array {
  const next = seeded(seed);
  return Float64Array.from({ length: count }, next);
}

/** Runs one operator through its function body; inputs whose layout flag is 1 are stored transposed. */
export async function runOperator<F extends OperatorForm>(
  form: F,
  attributes: OperatorAttributes<F>,
  feeds: Readonly<Record<string, Pick<TestValue, 'dims' | 'values'>>>,
  opset = 20,
): Promise<Record<string, Float32Array>> {
  const { transW, transA, transB } = { transA: 0, transB: 0, transW: 0, ...form };
  const flags: Readonly<Record<string, number>> = { W: transW, A: transA, B: transB };
  const options = { opset, target: 'cpu', ...attributes } as Parameters<typeof makeOperatorModel<F>>[1];
  const model = overFloat32(makeOperatorModel(form, options), form);
  const tensors = Object.entries(feeds).map(([name, { dims, values }]) => {
    const stored = flags[name] === 1 ? transposed(values, dims[0]!, dims[1]!) : values;
    const shape = flags[name] === 1 ? dims.toReversed() : dims;
    return [name, new ort.Tensor('float32', Float32Array.from(stored), shape)] as const;
  });
  const results = await runModel(model, Object.fromEntries(tensors));
  return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, tensor.data as Float32Array]));
}

/** The model with float32 inputs and outputs: exact casts, and onnxruntime-node has no bfloat16 tensors. */
function overFloat32(model: ModelProto, form: OperatorForm): ModelProto {
  const graph = model.graph!;
  const node = graph.node[0]!;
  const signature = operatorSignature(form);
  const before = signature.inputs.map(({ name, type }) =>
    makeNode('Cast', [name], [`${name}_cast`], { attributes: { to: { int: DATA_TYPE[type] } } }),
  );
  const after = signature.outputs.map(({ name }) =>
    makeNode('Cast', [`${name}_cast`], [name], { attributes: { to: { int: DataType.FLOAT } } }),
  );
  const renamed = { ...node, input: node.input.map((n) => `${n}_cast`), output: node.output.map((n) => `${n}_cast`) };
  graph.node = [...before, renamed, ...after];
  graph.input = signature.inputs.map(({ name }) => makeValueInfo(name, DataType.FLOAT));
  graph.output = signature.outputs.map(({ name }) => makeValueInfo(name, DataType.FLOAT));
  return model;
}
