/** The float32 version of a half-precision graph: what its outputs would be without the rounding of its type. */

import {
  type AttributeProto,
  DataType,
  describeTensor,
  type FunctionProto,
  type GraphProto,
  inlineBytes,
  type ModelProto,
  makeNode,
  makeTensor,
  type NodeProto,
  type TensorProto,
  type TypeProto,
  toFloat32,
  type ValueInfoProto,
} from '@ort-dora/onnx';

const isHalf = (type: number | undefined) => type === DataType.FLOAT16 || type === DataType.BFLOAT16;

/** Attributes that name an element type, on Cast, EyeLike, RandomNormal, DequantizeLinear and their like. */
const typeAttributes = new Set(['to', 'dtype', 'output_dtype']);

/** Whether any value of the graph is float16 or bfloat16, as far as the file says. */
export function usesHalf(model: ModelProto): boolean {
  const graph = model.graph!;
  return (
    graph.initializer.some(({ dataType }) => isHalf(dataType)) ||
    [...graph.input, ...graph.output].some(({ type }) => isHalf(type?.tensorType?.elemType)) ||
    graph.node.some(({ attribute }) => attribute.some(namesHalf))
  );
}

/**
 * The same graph computed in float32. Weights stay what they are and are widened by a Cast (which ORT folds when it loads
 * the model), so external data stay references; inputs keep their names and types and are widened likewise; outputs
 * become float32.
 */
export function inFloat32(model: ModelProto): ModelProto {
  return { ...model, graph: widenGraph(model.graph!, new Map(), true), functions: model.functions.map(widenFunction) };
}

function widenGraph(graph: GraphProto, outerNames: ReadonlyMap<string, string>, main: boolean): GraphProto {
  const names = new Map(outerNames);
  const casts: NodeProto[] = [];
  const widen = (name: string) => {
    if (names.has(name)) return;
    names.set(name, `${name}.ort_dora.float32`);
    casts.push(makeNode('Cast', [name], [names.get(name)!], { attributes: { to: { int: DataType.FLOAT } } }));
  };
  if (main) for (const { name = '', type } of graph.input) if (isHalf(type?.tensorType?.elemType)) widen(name);
  for (const { name = '', dataType } of graph.initializer) if (isHalf(dataType)) widen(name);
  return {
    ...graph,
    node: [...casts, ...graph.node.map((node) => widenNode(node, names))],
    input: main ? graph.input : graph.input.map(widenValueInfo),
    output: graph.output.map((info) => {
      const renamed = names.get(info.name ?? '');
      if (renamed === undefined) return widenValueInfo(info);
      // An input or weight that is an output as it stands: the main graph's outputs keep their names, so it stays half.
      return main ? info : widenValueInfo({ ...info, name: renamed });
    }),
    valueInfo: graph.valueInfo.map(widenValueInfo),
  };
}

const widenFunction = (fn: FunctionProto): FunctionProto => ({
  ...fn,
  node: fn.node.map((node) => widenNode(node, new Map())),
  attributeProto: fn.attributeProto.map((attribute) => widenAttribute(attribute, new Map())),
  valueInfo: fn.valueInfo.map(widenValueInfo),
});

const widenNode = (node: NodeProto, names: ReadonlyMap<string, string>): NodeProto => ({
  ...node,
  input: node.input.map((name) => names.get(name) ?? name),
  attribute: node.attribute.map((attribute) => widenAttribute(attribute, names)),
});

function widenAttribute(attribute: AttributeProto, names: ReadonlyMap<string, string>): AttributeProto {
  return {
    ...attribute,
    i: namesHalf(attribute) ? BigInt(DataType.FLOAT) : attribute.i,
    t: attribute.t && widenTensor(attribute.t),
    tensors: attribute.tensors.map(widenTensor),
    g: attribute.g && widenGraph(attribute.g, names, false),
    graphs: attribute.graphs.map((graph) => widenGraph(graph, names, false)),
    tp: attribute.tp && widenType(attribute.tp),
    typeProtos: attribute.typeProtos.map(widenType),
  };
}

const namesHalf = ({ name = '', i }: AttributeProto) =>
  typeAttributes.has(name) && i !== undefined && isHalf(Number(i));

const widenValueInfo = (info: ValueInfoProto): ValueInfoProto => ({ ...info, type: info.type && widenType(info.type) });

function widenType(type: TypeProto): TypeProto {
  const { tensorType, sequenceType, optionalType } = type;
  if (isHalf(tensorType?.elemType)) return { ...type, tensorType: { ...tensorType, elemType: DataType.FLOAT } };
  if (sequenceType?.elemType) return { ...type, sequenceType: { elemType: widenType(sequenceType.elemType) } };
  if (optionalType?.elemType) return { ...type, optionalType: { elemType: widenType(optionalType.elemType) } };
  return type;
}

/** A constant in a node's attribute. */
function widenTensor(tensor: TensorProto): TensorProto {
  if (!isHalf(tensor.dataType)) return tensor;
  const { name, type, dims } = describeTensor(tensor);
  return makeTensor(name, DataType.FLOAT, dims, toFloat32(inlineBytes(tensor), type));
}
