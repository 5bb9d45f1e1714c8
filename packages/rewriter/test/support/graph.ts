/** Small graphs for unit tests of the matcher. */
import { DataType, type GraphProto, type NodeProto, type TensorProto } from '@ort-dora/onnx';
import { GraphScope, graphBody } from '../../src/match/graph-scope.js';
import { float32Tensor, int64Tensor, makeNode, tensorValueInfo } from '../../src/protos.js';
import { isSmall, numbersOf } from '../../src/tensors/numbers.js';

export interface TestGraph {
  /** float32 graph inputs with their shapes. */
  readonly inputs?: Readonly<Record<string, readonly (number | string)[]>>;
  readonly initializers?: readonly TensorProto[];
  readonly nodes: readonly NodeProto[];
  readonly outputs?: readonly string[];
}

export function testGraph({ inputs = {}, initializers = [], nodes, outputs = [] }: TestGraph): GraphProto {
  return {
    name: 'test',
    node: [...nodes],
    initializer: [...initializers],
    input: Object.entries(inputs).map(([name, dims]) => tensorValueInfo(name, DataType.FLOAT, dims)),
    output: outputs.map((name) => tensorValueInfo(name, DataType.FLOAT)),
    valueInfo: [],
    quantizationAnnotation: [],
    sparseInitializer: [],
    metadataProps: [],
  };
}

export function testScope(graph: TestGraph): GraphScope {
  return new GraphScope(graphBody(testGraph(graph)), '', undefined, smallConstants);
}

export function smallConstants(tensor: TensorProto): readonly number[] | undefined {
  return isSmall(tensor) ? numbersOf(tensor.rawData ?? new Uint8Array(), tensor.dataType ?? 0) : undefined;
}

/** `y = Op(a, b)`. */
export function op(opType: string, inputs: readonly string[], output: string, ...attributes: NodeProto['attribute']) {
  return makeNode(opType, inputs, [output], attributes, { name: output });
}

export function floats(name: string, dims: readonly number[], values?: readonly number[]): TensorProto {
  const count = dims.reduce((total, dim) => total * dim, 1);
  return float32Tensor(
    name,
    dims,
    Float32Array.from({ length: count }, (_, index) => values?.[index] ?? index + 1),
  );
}

export function ints(name: string, values: readonly number[]): TensorProto {
  return int64Tensor(name, [values.length], values);
}
