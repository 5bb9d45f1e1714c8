/** Constructors of the few ONNX messages that the rewriter writes. */
import {
  type AttributeProto,
  AttributeType,
  DataType,
  type NodeProto,
  type StringStringEntryProto,
  type TensorProto,
  type ValueInfoProto,
} from '@ort-dora/onnx';

/** A node of `domain` ('' for the standard operators). */
export function makeNode(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attribute: readonly AttributeProto[] = [],
  rest: {
    readonly domain?: string;
    readonly name?: string;
    readonly overload?: string;
    readonly metadataProps?: readonly StringStringEntryProto[];
  } = {},
): NodeProto {
  return {
    input: [...input],
    output: [...output],
    ...(rest.name === undefined ? {} : { name: rest.name }),
    opType,
    attribute: [...attribute],
    ...(rest.domain === undefined || rest.domain === '' ? {} : { domain: rest.domain }),
    ...(rest.overload === undefined || rest.overload === '' ? {} : { overload: rest.overload }),
    metadataProps: [...(rest.metadataProps ?? [])],
    deviceConfigurations: [],
  };
}

export function intAttribute(name: string, value: number): AttributeProto {
  return { ...emptyAttribute(name, AttributeType.INT), i: BigInt(value) };
}

export function intsAttribute(name: string, values: readonly number[]): AttributeProto {
  return { ...emptyAttribute(name, AttributeType.INTS), ints: values.map(BigInt) };
}

/** A float32 attribute: `value` is rounded to float32 in the file. */
export function floatAttribute(name: string, value: number): AttributeProto {
  return { ...emptyAttribute(name, AttributeType.FLOAT), f: Math.fround(value) };
}

export function tensorAttribute(name: string, tensor: TensorProto): AttributeProto {
  return { ...emptyAttribute(name, AttributeType.TENSOR), t: tensor };
}

/** In a function body: the float attribute `name` takes the value of the function's attribute `reference`. */
export function floatAttributeReference(name: string, reference: string): AttributeProto {
  return { ...emptyAttribute(name, AttributeType.FLOAT), refAttrName: reference };
}

/** A float32 tensor with its elements in the file. */
export function float32Tensor(name: string, dims: readonly number[], values: Float32Array): TensorProto {
  return rawTensor(name, DataType.FLOAT, dims, littleEndian(values, 4));
}

/** An int64 tensor with its elements in the file. */
export function int64Tensor(name: string, dims: readonly number[], values: readonly number[]): TensorProto {
  return rawTensor(name, DataType.INT64, dims, littleEndian(BigInt64Array.from(values, BigInt), 8));
}

/** A tensor with `data` as its little-endian elements. */
export function rawTensor(name: string, dataType: number, dims: readonly number[], data: Uint8Array): TensorProto {
  return {
    dims: dims.map(BigInt),
    dataType,
    floatData: new Float32Array(),
    int32Data: new Int32Array(),
    stringData: [],
    int64Data: new BigInt64Array(),
    ...(name === '' ? {} : { name }),
    rawData: data,
    doubleData: new Float64Array(),
    uint64Data: new BigUint64Array(),
    externalData: [],
    metadataProps: [],
  };
}

/** A tensor's name, type and, where `dims` is given, its shape: numbers and symbolic names. */
export function tensorValueInfo(name: string, elemType: number, dims?: readonly (number | string)[]): ValueInfoProto {
  const shape = dims?.map((dim) => (typeof dim === 'number' ? { dimValue: BigInt(dim) } : { dimParam: dim }));
  return {
    name,
    type: { tensorType: { elemType, ...(shape === undefined ? {} : { shape: { dim: shape } }) } },
    metadataProps: [],
  };
}

function emptyAttribute(name: string, type: number): AttributeProto {
  return {
    name,
    floats: [],
    ints: [],
    strings: [],
    tensors: [],
    graphs: [],
    typeProtos: [],
    type,
    sparseTensors: [],
  };
}

/** ONNX stores little-endian elements, whatever the machine. */
function littleEndian(values: Float32Array | BigInt64Array, size: 4 | 8): Uint8Array {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] === 0) {
    for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
  }
  return bytes;
}
