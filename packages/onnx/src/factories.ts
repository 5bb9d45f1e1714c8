import { type AttributeValue, makeAttribute } from './attributes.js';
import { byteLengthOf, elementTypeOf } from './element-types.js';
import { OnnxError } from './errors.js';
import type {
  DimensionProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  OperatorSetIdProto,
  StringStringEntryProto,
  TensorProto,
  TypeProto,
  ValueInfoProto,
} from './messages.js';
import { DIMENSION, FUNCTION, GRAPH, MODEL, NODE, TENSOR, TENSOR_TYPE, TYPE, VALUE_INFO } from './schema.js';

/** A dimension: its size, the name of a symbolic one, or undefined where nothing is known. */
export type Dimension = number | string | undefined;

export function makeModel(
  graph: GraphProto,
  options: {
    /** Domain → version; '' is the standard domain. */
    readonly opsets: Readonly<Record<string, number>>;
    readonly irVersion?: number;
    readonly producerName?: string;
    readonly functions?: readonly FunctionProto[];
  },
): ModelProto {
  return {
    ...MODEL.create(),
    irVersion: BigInt(options.irVersion ?? 10),
    producerName: options.producerName,
    graph,
    opsetImport: makeOpsets(options.opsets),
    functions: [...(options.functions ?? [])],
  };
}

export function makeGraph(
  name: string,
  parts: {
    readonly inputs?: readonly ValueInfoProto[];
    readonly outputs: readonly ValueInfoProto[];
    readonly nodes: readonly NodeProto[];
    readonly initializers?: readonly TensorProto[];
    readonly valueInfos?: readonly ValueInfoProto[];
  },
): GraphProto {
  return {
    ...GRAPH.create(),
    name,
    node: [...parts.nodes],
    initializer: [...(parts.initializers ?? [])],
    input: [...(parts.inputs ?? [])],
    output: [...parts.outputs],
    valueInfo: [...(parts.valueInfos ?? [])],
  };
}

/** `makeNode('Gemm', ['x', 'W', 'b'], ['y'], { name: 'fc', attributes: { transB: { int: 1 } } })`; '' leaves an input out. */
export function makeNode(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  options: {
    readonly name?: string;
    readonly domain?: string;
    readonly overload?: string;
    readonly attributes?: Readonly<Record<string, AttributeValue>>;
    readonly metadata?: Readonly<Record<string, string>>;
  } = {},
): NodeProto {
  return {
    ...NODE.create(),
    input: [...inputs],
    output: [...outputs],
    name: options.name,
    opType,
    domain: options.domain,
    overload: options.overload,
    attribute: Object.entries(options.attributes ?? {}).map(([name, value]) => makeAttribute(name, value)),
    metadataProps: makeEntries(options.metadata ?? {}),
  };
}

export function makeFunction(
  domain: string,
  name: string,
  parts: {
    readonly overload?: string;
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
    /** Attributes that a call must give. */
    readonly attributes?: readonly string[];
    /** Attributes with a default. */
    readonly defaults?: Readonly<Record<string, AttributeValue>>;
    readonly nodes: readonly NodeProto[];
    readonly opsets: Readonly<Record<string, number>>;
    readonly valueInfos?: readonly ValueInfoProto[];
    readonly docString?: string;
  },
): FunctionProto {
  return {
    ...FUNCTION.create(),
    name,
    domain,
    overload: parts.overload,
    input: [...parts.inputs],
    output: [...parts.outputs],
    attribute: [...(parts.attributes ?? [])],
    attributeProto: Object.entries(parts.defaults ?? {}).map(([key, value]) => makeAttribute(key, value)),
    node: [...parts.nodes],
    opsetImport: makeOpsets(parts.opsets),
    valueInfo: [...(parts.valueInfos ?? [])],
    docString: parts.docString,
  };
}

/** A tensor with inline `rawData`. `data`: elements in the type's own width (float16 as Uint16Array), little-endian. */
export function makeTensor(
  name: string,
  dataType: number,
  dims: readonly number[],
  data: ArrayBufferView,
): TensorProto {
  const rawData = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  const expected = byteLengthOf(elementTypeOf(dataType), dims);
  if (rawData.length !== expected) {
    throw new OnnxError(
      'invalid-tensor',
      `tensor '${name}' of ${elementTypeOf(dataType).name}[${dims.join(', ')}] takes ${expected} bytes, not ${rawData.length}`,
    );
  }
  return { ...TENSOR.create(), name, dataType, dims: dims.map(BigInt), rawData };
}

/** A tensor type; `dims` undefined: unknown rank. */
export function makeTensorType(elemType: number, dims?: readonly Dimension[]): TypeProto {
  const shape = dims === undefined ? undefined : { dim: dims.map(makeDimension) };
  return { ...TYPE.create(), tensorType: { ...TENSOR_TYPE.create(), elemType, shape } };
}

/** A value's name and tensor type; without an element type, the name alone. */
export function makeValueInfo(name: string, elemType?: number, dims?: readonly Dimension[]): ValueInfoProto {
  return { ...VALUE_INFO.create(), name, type: elemType === undefined ? undefined : makeTensorType(elemType, dims) };
}

/** Domain → version, as opset imports. */
export function makeOpsets(opsets: Readonly<Record<string, number>>): OperatorSetIdProto[] {
  return Object.entries(opsets).map(([domain, version]) => ({ domain, version: BigInt(version) }));
}

/** Key → value, as metadata. */
export function makeEntries(entries: Readonly<Record<string, string>>): StringStringEntryProto[] {
  return Object.entries(entries).map(([key, value]) => ({ key, value }));
}

function makeDimension(dimension: Dimension): DimensionProto {
  const made = DIMENSION.create();
  if (typeof dimension === 'number') made.dimValue = BigInt(dimension);
  else if (dimension !== undefined) made.dimParam = dimension;
  return made;
}
