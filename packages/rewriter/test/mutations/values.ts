/** What the values of a model are: type and shape as ONNX Runtime computes them. */
import { decodeModel, encodeModel, type ModelProto } from '@ort-dora/onnx';
import type * as ort from 'onnxruntime-node';
import { type Feeds, runModel } from '../support/ort.js';

export interface Value {
  readonly name: string;
  readonly type: ort.Tensor.Type;
  readonly dims: readonly number[];
  /** Position of the node that computes it; −1 for inputs and initializers. */
  readonly position: number;
}

const INITIALIZER_TYPES: Readonly<Record<number, ort.Tensor.Type>> = {
  1: 'float32',
  2: 'uint8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
};

/** All values of the main graph, in the order in which they come to be. */
export async function valuesOf(model: ModelProto, feeds: Feeds): Promise<readonly Value[]> {
  const open = decodeModel(encodeModel(model));
  const graph = open.graph!;
  const computed = graph.node.flatMap(({ output }, position) => output.map((name) => ({ name, position })));
  const declared = new Set(graph.output.map(({ name }) => name));
  graph.output.push(
    ...computed.filter(({ name }) => !declared.has(name)).map(({ name }) => ({ name, metadataProps: [] })),
  );
  const results = await runModel(open, feeds);
  return [
    ...Object.entries(feeds).map(([name, { type, dims }]) => ({ name, type, dims, position: -1 })),
    ...graph.initializer.map(({ name, dataType, dims }) => ({
      name: name!,
      type: INITIALIZER_TYPES[dataType!] ?? 'string',
      dims: dims.map(Number),
      position: -1,
    })),
    ...computed.map(({ name, position }) => ({
      name,
      type: results[name]!.type,
      dims: results[name]!.dims,
      position,
    })),
  ];
}
