// The models of this package's tests.

import type { ElementType } from '../../src/element-types.js';
import { type InitializerSpec, onnxModel } from './onnx.js';

function floats(name: string, values: readonly number[], dims: readonly number[]): InitializerSpec {
  return { name, type: 'float32', dims, data: Float32Array.from(values) };
}

/** y = x + 1, x float32 [n]. */
export function increment(): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type: 'float32', dims: ['n'] }],
    outputs: [{ name: 'y', type: 'float32', dims: ['n'] }],
    nodes: [{ op: 'Add', inputs: ['x', 'one'], outputs: ['y'] }],
    initializers: [floats('one', [1], [1])],
  });
}

/** y = x + `length`, one at a time, x float32 [n]. ONNX Runtime leaves them as they are. */
export function chain(length: number): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type: 'float32', dims: ['n'] }],
    outputs: [{ name: 'y', type: 'float32', dims: ['n'] }],
    nodes: Array.from({ length }, (_, i) => ({
      op: 'Add',
      inputs: [i === 0 ? 'x' : `t${i}`, 'one'],
      outputs: [i === length - 1 ? 'y' : `t${i + 1}`],
    })),
    initializers: [floats('one', [1], [1])],
  });
}

/** y = x · W, x float32 [m, rows], W float32 [rows, columns] in the file `weights.bin` beside the model. */
export function externalWeights(rows: number, columns: number): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type: 'float32', dims: ['m', rows] }],
    outputs: [{ name: 'y', type: 'float32', dims: ['m', columns] }],
    nodes: [{ op: 'MatMul', inputs: ['x', 'W'], outputs: ['y'] }],
    initializers: [{ name: 'W', type: 'float32', dims: [rows, columns], data: 'weights.bin' }],
  });
}

/** y = DoraLinear(x), x float32 [m, 256], of rank 16, with a bias, all weights random. */
export function doraLinear(): Uint8Array {
  const random = (name: string, dims: readonly number[], about: number) =>
    floats(
      name,
      Array.from(
        { length: dims.reduce((count, dim) => count * dim, 1) },
        (_, i) => about + Math.sin(i * i + name.length),
      ),
      dims,
    );
  return onnxModel({
    inputs: [{ name: 'x', type: 'float32', dims: ['m', 256] }],
    outputs: [{ name: 'y', type: 'float32', dims: ['m', 128] }],
    nodes: [
      {
        op: 'DoraLinear',
        domain: 'ort.dora',
        inputs: ['x', 'W', 'A', 'B', 'g', 'bias'],
        outputs: ['y'],
        floats: { scaling: 2 },
      },
    ],
    initializers: [
      random('W', [128, 256], 0),
      random('A', [16, 256], 0),
      random('B', [128, 16], 0),
      random('g', [128], 1),
      random('bias', [128], 0),
    ],
  });
}

/** sum = a + b and prod = a · b, all float32 [m, 4]. */
export function sumAndProduct(): Uint8Array {
  const dims = ['m', 4];
  return onnxModel({
    inputs: [
      { name: 'a', type: 'float32', dims },
      { name: 'b', type: 'float32', dims },
    ],
    outputs: [
      { name: 'sum', type: 'float32', dims },
      { name: 'prod', type: 'float32', dims },
    ],
    nodes: [
      { op: 'Add', inputs: ['a', 'b'], outputs: ['sum'] },
      { op: 'Mul', inputs: ['a', 'b'], outputs: ['prod'] },
    ],
  });
}

/** Every element type that ONNX Runtime has an Identity for: `type` in, `out_type` out. */
export function identities(types: readonly ElementType[]): Uint8Array {
  return onnxModel({
    inputs: types.map((type) => ({ name: type, type, dims: ['n'] })),
    outputs: types.map((type) => ({ name: `out_${type}`, type, dims: ['n'] })),
    nodes: types.map((type) => ({ op: 'Identity', inputs: [type], outputs: [`out_${type}`] })),
  });
}

/** `layers` products of 768 × 768 matrices, float32: some 10 ms each on one core, and an abort is seen between any two. */
export function slow(layers: number): Uint8Array {
  const size = 768;
  const eye = new Float32Array(size * size);
  for (let i = 0; i < size; i++) eye[i * size + i] = 0.5;
  const nodes = Array.from({ length: layers }, (_, i) => ({
    op: 'MatMul',
    inputs: [`t${i}`, 'W'],
    outputs: [`t${i + 1}`],
  }));
  return onnxModel({
    inputs: [{ name: 'x', type: 'float32', dims: [1] }],
    outputs: [{ name: 'y', type: 'float32', dims: [] }],
    nodes: [
      { op: 'Add', inputs: ['W', 'x'], outputs: ['t0'] },
      ...nodes,
      { op: 'ReduceSum', inputs: [`t${layers}`], outputs: ['y'], attributes: { keepdims: 0 } },
    ],
    initializers: [{ name: 'W', type: 'float32', dims: [size, size], data: eye }],
  });
}

/** One operator of the test library (test/native/test_ops.cc): x float32 [n] in, y out. */
export function testOperator(op: 'Sleep' | 'Watch'): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type: 'float32', dims: ['n'] }],
    outputs: [{ name: 'y', type: 'float32', dims: ['n'] }],
    nodes: [{ op, domain: 'ort.dora.test', inputs: ['x'], outputs: ['y'] }],
  });
}

/** y = Twice(x): a model-local function x + x, which the test library's kernel of that name answers by 2 · x + 0.5. */
export function twice(type: 'float32' | 'bfloat16' = 'float32'): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type, dims: ['n'] }],
    outputs: [{ name: 'y', type, dims: ['n'] }],
    nodes: [{ op: 'Twice', domain: 'ort.dora.test', inputs: ['x'], outputs: ['y'] }],
    functions: [
      {
        domain: 'ort.dora.test',
        name: 'Twice',
        inputs: ['x'],
        outputs: ['y'],
        nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }],
      },
    ],
  });
}

/** y is a sequence of two x: not a tensor. */
export function sequence(): Uint8Array {
  return onnxModel({
    inputs: [{ name: 'x', type: 'float32', dims: ['n'] }],
    outputs: [{ name: 'y', sequenceOf: 'float32' }],
    nodes: [{ op: 'SequenceConstruct', inputs: ['x', 'x'], outputs: ['y'] }],
  });
}
