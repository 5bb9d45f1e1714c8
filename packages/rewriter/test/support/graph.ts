/** Small graphs for unit tests of the matcher. */
import {
  type AttributeValue,
  DataType,
  type GraphProto,
  inlineBytes,
  ModelView,
  makeGraph,
  makeModel,
  makeNode,
  makeValueInfo,
  type NodeProto,
  type TensorProto,
} from '@ort-dora/onnx';
import { matchScopes } from '../../src/match/model-facts.js';
import type { MatchScope } from '../../src/match/scope.js';
import { float32Tensor, int64Tensor } from '../../src/tensors/make.js';
import { isSmall, numbersOf } from '../../src/tensors/numbers.js';

export interface TestGraph {
  /** float32 graph inputs with their shapes. */
  readonly inputs?: Readonly<Record<string, readonly (number | string)[]>>;
  readonly initializers?: readonly TensorProto[];
  readonly nodes: readonly NodeProto[];
  readonly outputs?: readonly string[];
  /** Shapes that the file declares for float32 values in between. */
  readonly declared?: Readonly<Record<string, readonly (number | string)[]>>;
}

export function testGraph({
  inputs = {},
  initializers = [],
  nodes,
  outputs = [],
  declared = {},
}: TestGraph): GraphProto {
  return makeGraph('test', {
    inputs: Object.entries(inputs).map(([name, dims]) => makeValueInfo(name, DataType.FLOAT, dims)),
    outputs: outputs.map((name) => makeValueInfo(name, DataType.FLOAT)),
    nodes,
    initializers,
    valueInfos: Object.entries(declared).map(([name, dims]) => makeValueInfo(name, DataType.FLOAT, dims)),
  });
}

export function testScope(graph: TestGraph): MatchScope {
  const view = new ModelView(makeModel(testGraph(graph), { opsets: { '': 20 } }));
  return matchScopes(view, smallConstants).get(view.main)!;
}

export function smallConstants(tensor: TensorProto): readonly number[] | undefined {
  return isSmall(tensor) ? numbersOf(inlineBytes(tensor), tensor.dataType ?? 0) : undefined;
}

/** `output = Op(inputs)`, with a node name like the output's; of the standard domain where none is given. */
export function op(
  opType: string,
  inputs: readonly string[],
  output: string,
  attributes: Readonly<Record<string, AttributeValue>> = {},
  domain?: string,
): NodeProto {
  return makeNode(opType, inputs, [output], { name: output, attributes, ...(domain === undefined ? {} : { domain }) });
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
