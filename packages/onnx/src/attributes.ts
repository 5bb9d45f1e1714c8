import {
  type AttributeProto,
  AttributeType,
  type GraphProto,
  type NodeProto,
  type SparseTensorProto,
  type TensorProto,
  type TypeProto,
} from './messages.js';
import { ATTRIBUTE } from './schema.js';

/** The value of an attribute, with its kind said: a JavaScript number alone does not tell an int from a float. */
export type AttributeValue =
  | { readonly float: number }
  | { readonly int: number | bigint }
  | { readonly string: string | Uint8Array }
  | { readonly tensor: TensorProto }
  | { readonly graph: GraphProto }
  | { readonly sparseTensor: SparseTensorProto }
  | { readonly type: TypeProto }
  | { readonly floats: readonly number[] }
  | { readonly ints: readonly (number | bigint)[] }
  | { readonly strings: readonly (string | Uint8Array)[] }
  | { readonly tensors: readonly TensorProto[] }
  | { readonly graphs: readonly GraphProto[] }
  | { readonly sparseTensors: readonly SparseTensorProto[] }
  | { readonly types: readonly TypeProto[] }
  /** In a function's body: the value of the function's attribute `reference`, of kind `of` ({@link AttributeType}). */
  | { readonly reference: string; readonly of: number };

/** `makeAttribute('axis', { int: -1 })`. */
export function makeAttribute(name: string, value: AttributeValue): AttributeProto {
  const attribute = ATTRIBUTE.create();
  attribute.name = name;
  if ('reference' in value) {
    attribute.refAttrName = value.reference;
    attribute.type = value.of;
  } else if ('float' in value) {
    attribute.f = value.float;
    attribute.type = AttributeType.FLOAT;
  } else if ('int' in value) {
    attribute.i = BigInt(value.int);
    attribute.type = AttributeType.INT;
  } else if ('string' in value) {
    attribute.s = utf8(value.string);
    attribute.type = AttributeType.STRING;
  } else if ('tensor' in value) {
    attribute.t = value.tensor;
    attribute.type = AttributeType.TENSOR;
  } else if ('graph' in value) {
    attribute.g = value.graph;
    attribute.type = AttributeType.GRAPH;
  } else if ('sparseTensor' in value) {
    attribute.sparseTensor = value.sparseTensor;
    attribute.type = AttributeType.SPARSE_TENSOR;
  } else if ('type' in value) {
    attribute.tp = value.type;
    attribute.type = AttributeType.TYPE_PROTO;
  } else if ('floats' in value) {
    attribute.floats = [...value.floats];
    attribute.type = AttributeType.FLOATS;
  } else if ('ints' in value) {
    attribute.ints = value.ints.map(BigInt);
    attribute.type = AttributeType.INTS;
  } else if ('strings' in value) {
    attribute.strings = value.strings.map(utf8);
    attribute.type = AttributeType.STRINGS;
  } else if ('tensors' in value) {
    attribute.tensors = [...value.tensors];
    attribute.type = AttributeType.TENSORS;
  } else if ('graphs' in value) {
    attribute.graphs = [...value.graphs];
    attribute.type = AttributeType.GRAPHS;
  } else if ('sparseTensors' in value) {
    attribute.sparseTensors = [...value.sparseTensors];
    attribute.type = AttributeType.SPARSE_TENSORS;
  } else {
    attribute.typeProtos = [...value.types];
    attribute.type = AttributeType.TYPE_PROTOS;
  }
  return attribute;
}

export function findAttribute(node: NodeProto, name: string): AttributeProto | undefined {
  return node.attribute.find((attribute) => attribute.name === name);
}

/**
 * The int attribute `name`, or `fallback` where the node has none. Undefined without a fallback, or where the attribute
 * is of another kind or refers to an attribute of the enclosing function (its value is not known then).
 */
export function intAttribute(node: NodeProto, name: string, fallback?: number): number | undefined {
  const attribute = findAttribute(node, name);
  if (attribute === undefined) return fallback;
  return holds(attribute, AttributeType.INT) ? Number(attribute.i ?? 0n) : undefined;
}

/** As {@link intAttribute}, for a float (the float32 value as a number). */
export function floatAttribute(node: NodeProto, name: string, fallback?: number): number | undefined {
  const attribute = findAttribute(node, name);
  if (attribute === undefined) return fallback;
  return holds(attribute, AttributeType.FLOAT) ? (attribute.f ?? 0) : undefined;
}

/** As {@link intAttribute}, for a list of ints. */
export function intsAttribute(
  node: NodeProto,
  name: string,
  fallback?: readonly number[],
): readonly number[] | undefined {
  const attribute = findAttribute(node, name);
  if (attribute === undefined) return fallback;
  return holds(attribute, AttributeType.INTS) ? attribute.ints.map(Number) : undefined;
}

/** As {@link intAttribute}, for a string. */
export function stringAttribute(node: NodeProto, name: string, fallback?: string): string | undefined {
  const attribute = findAttribute(node, name);
  if (attribute === undefined) return fallback;
  return holds(attribute, AttributeType.STRING) ? new TextDecoder().decode(attribute.s) : undefined;
}

/** The tensor attribute `name`. */
export function tensorAttribute(node: NodeProto, name: string): TensorProto | undefined {
  const attribute = findAttribute(node, name);
  return attribute !== undefined && holds(attribute, AttributeType.TENSOR) ? attribute.t : undefined;
}

function holds(attribute: AttributeProto, type: number): boolean {
  return attribute.type === type && !attribute.refAttrName;
}

function utf8(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? new TextEncoder().encode(text) : text;
}
