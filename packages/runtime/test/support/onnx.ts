// Writes small ONNX models: as much of the protobuf encoding as the tests of this package need.
import { ELEMENT_TYPES, type ElementType } from '../../src/element-types.js';

export interface TensorSpec {
  readonly name: string;
  readonly type: ElementType;
  /** A number, or the name of a symbolic dimension. */
  readonly dims: readonly (number | string)[];
}

export interface NodeSpec {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly domain?: string;
  /** Integer attributes. */
  readonly attributes?: Readonly<Record<string, number>>;
  readonly floats?: Readonly<Record<string, number>>;
}

export interface InitializerSpec {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  /** Little-endian; or the file beside the model that holds it from its beginning on. */
  readonly data: ArrayBufferView | string;
}

export interface FunctionSpec {
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly NodeSpec[];
}

export interface ModelSpec {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly (TensorSpec | { readonly name: string; readonly sequenceOf: ElementType })[];
  readonly nodes: readonly NodeSpec[];
  readonly initializers?: readonly InitializerSpec[];
  readonly functions?: readonly FunctionSpec[];
}

const OPSET = 18;

/** The bytes of a ModelProto. */
export function onnxModel({ inputs, outputs, nodes, initializers = [], functions = [] }: ModelSpec): Uint8Array {
  const domains = new Set(
    [...nodes, ...functions.flatMap((fn) => fn.nodes), ...functions].map(({ domain = '' }) => domain),
  );
  domains.add('');
  const graph = [
    ...nodes.map((node) => message(1, nodeProto(node))),
    text(2, 'test'),
    ...initializers.map((tensor) => message(5, tensorProto(tensor))),
    ...inputs.map((value) => message(11, valueInfo(value))),
    ...outputs.map((value) => message(12, 'sequenceOf' in value ? sequenceInfo(value) : valueInfo(value))),
  ];
  return Buffer.concat([
    integer(1, 10), // IR version
    message(7, graph),
    ...[...domains].map((domain) => message(8, opset(domain))),
    ...functions.map((fn) => message(25, functionProto(fn))),
  ]);
}

function nodeProto({ op, inputs, outputs, domain = '', attributes = {}, floats = {} }: NodeSpec): Uint8Array[] {
  return [
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) =>
      message(5, [text(1, name), integer(3, value), integer(20, 2)]),
    ),
    ...Object.entries(floats).map(([name, value]) => message(5, [text(1, name), float(2, value), integer(20, 1)])),
    text(7, domain),
  ];
}

function functionProto({ domain, name, inputs, outputs, nodes }: FunctionSpec): Uint8Array[] {
  const domains = new Set(['', ...nodes.map((node) => node.domain ?? '')]);
  return [
    text(1, name),
    ...inputs.map((input) => text(4, input)),
    ...outputs.map((output) => text(5, output)),
    ...nodes.map((node) => message(7, nodeProto(node))),
    ...[...domains].map((each) => message(9, opset(each))),
    text(10, domain),
  ];
}

function opset(domain: string): Uint8Array[] {
  return [text(1, domain), integer(2, domain === '' ? OPSET : 1)];
}

function tensorProto({ name, type, dims, data }: InitializerSpec): Uint8Array[] {
  const head = [...dims.map((dim) => integer(1, dim)), integer(2, ELEMENT_TYPES[type]), text(8, name)];
  if (typeof data === 'string') return [...head, message(13, [text(1, 'location'), text(2, data)]), integer(14, 1)];
  return [...head, field(9, Buffer.from(data.buffer, data.byteOffset, data.byteLength))];
}

function valueInfo(value: TensorSpec): Uint8Array[] {
  return [text(1, value.name), message(2, [message(1, tensorType(value))])];
}

function sequenceInfo({ name, sequenceOf }: { name: string; sequenceOf: ElementType }): Uint8Array[] {
  const element = message(1, [integer(1, ELEMENT_TYPES[sequenceOf])]);
  return [text(1, name), message(2, [message(4, [message(1, [element])])])];
}

function tensorType({ type, dims }: TensorSpec): Uint8Array[] {
  const shape = dims.map((dim) => message(1, [typeof dim === 'number' ? integer(1, dim) : text(2, dim)]));
  return [integer(1, ELEMENT_TYPES[type]), message(2, shape)];
}

function message(number: number, fields: readonly Uint8Array[]): Uint8Array {
  return field(number, Buffer.concat(fields));
}

function text(number: number, value: string): Uint8Array {
  return field(number, Buffer.from(value));
}

function field(number: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

function integer(number: number, value: number): Uint8Array {
  return Buffer.concat([varint(number << 3), varint(value)]);
}

function float(number: number, value: number): Uint8Array {
  return Buffer.concat([varint((number << 3) | 5), Buffer.from(Float32Array.of(value).buffer)]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
