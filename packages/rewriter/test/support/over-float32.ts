import { DataType, type ModelProto, makeNode, makeValueInfo } from '@ort-dora/onnx';

/** A bfloat16 model with float32 input and output: onnxruntime-node has no bfloat16 tensors. */
export function overFloat32(model: ModelProto): ModelProto {
  const graph = model.graph!;
  const cast = (from: string, to: string, type: number) =>
    makeNode('Cast', [from], [to], { attributes: { to: { int: type } } });
  for (const node of graph.node) {
    node.input = node.input.map((value) => (value === 'x' ? 'x.bfloat16' : value));
    node.output = node.output.map((value) => (value === 'y' ? 'y.bfloat16' : value));
  }
  graph.node = [cast('x', 'x.bfloat16', DataType.BFLOAT16), ...graph.node, cast('y.bfloat16', 'y', DataType.FLOAT)];
  graph.input = [makeValueInfo('x', DataType.FLOAT)];
  graph.output = [makeValueInfo('y', DataType.FLOAT)];
  return model;
}
