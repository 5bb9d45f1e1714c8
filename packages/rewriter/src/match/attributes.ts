import { type AttributeProto, AttributeType, type NodeProto, type TensorProto } from '@ort-dora/onnx';

/** The integer attribute, or undefined where it is absent, of another type, or a reference to a function's attribute. */
export function attributeInt(node: NodeProto, name: string): number | undefined {
  const found = literal(node, name, AttributeType.INT);
  return found === undefined ? undefined : Number(found.i ?? 0n);
}

export function attributeFloat(node: NodeProto, name: string): number | undefined {
  const found = literal(node, name, AttributeType.FLOAT);
  return found === undefined ? undefined : (found.f ?? 0);
}

export function attributeInts(node: NodeProto, name: string): readonly number[] | undefined {
  return literal(node, name, AttributeType.INTS)?.ints.map(Number);
}

export function attributeTensor(node: NodeProto, name: string): TensorProto | undefined {
  return literal(node, name, AttributeType.TENSOR)?.t;
}

/** Whether the node has an attribute of that name in any form. */
export function hasAttribute(node: NodeProto, name: string): boolean {
  return node.attribute.some((attribute) => attribute.name === name);
}

function literal(node: NodeProto, name: string, type: number): AttributeProto | undefined {
  const found = node.attribute.find((attribute) => attribute.name === name);
  const isReference = found?.refAttrName !== undefined && found.refAttrName !== '';
  return found === undefined || isReference || found.type !== type ? undefined : found;
}
