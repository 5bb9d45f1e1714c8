/** Editing sample models by hand: near misses and harmless variants. */
import {
  type AttributeValue,
  DataType,
  type GraphProto,
  inlineBytes,
  type ModelProto,
  makeAttribute,
  makeNode,
  makeTensor,
  makeValueInfo,
  type NodeProto,
  type TensorProto,
} from '@ort-dora/onnx';

export class Edit {
  readonly graph: GraphProto;

  constructor(readonly model: ModelProto) {
    this.graph = model.graph!;
  }

  /** The node that computes a value. */
  node(output: string): NodeProto {
    const found = this.graph.node.find((node) => node.output.includes(output));
    if (found === undefined) throw new Error(`nothing computes ${output}`);
    return found;
  }

  tensor(name: string): TensorProto {
    const found = this.graph.initializer.find((tensor) => tensor.name === name);
    if (found === undefined) throw new Error(`no initializer ${name}`);
    return found;
  }

  setInput(output: string, index: number, value: string): void {
    this.node(output).input[index] = value;
  }

  /** Removes a node that nothing reads any more. */
  remove(output: string): void {
    this.graph.node.splice(this.graph.node.indexOf(this.node(output)), 1);
  }

  swapInputs(output: string): void {
    this.node(output).input.reverse();
  }

  setAttribute(output: string, name: string, value: AttributeValue): void {
    const node = this.node(output);
    node.attribute = [...node.attribute.filter((attribute) => attribute.name !== name), makeAttribute(name, value)];
  }

  /** Adds a float32 scalar. */
  scalar(name: string, value: number): string {
    this.graph.initializer.push(makeTensor(name, 1, [], Float32Array.of(value)));
    return name;
  }

  /** Adds a float32 vector. */
  vector(name: string, values: readonly number[]): string {
    this.graph.initializer.push(makeTensor(name, 1, [values.length], Float32Array.from(values)));
    return name;
  }

  /** A copy of an initializer with one of its bytes changed; byte 2 of a float32 is in the middle of its fraction. */
  changedCopy(name: string, byte: number): string {
    const tensor = this.tensor(name);
    const bytes = inlineBytes(tensor).slice();
    bytes[byte]! ^= 1;
    const copy = `${name}.changed`;
    this.graph.initializer.push(makeTensor(copy, tensor.dataType!, tensor.dims.map(Number), bytes));
    return copy;
  }

  /** Puts `op(value, …)` between a value and one of its readers. */
  insert(reader: string, index: number, opType: string, more: readonly string[] = [], attributes = {}): void {
    const node = this.node(reader);
    const value = node.input[index]!;
    const output = `${value}.${opType}.${this.graph.node.length}`;
    this.graph.node.splice(
      this.graph.node.indexOf(node),
      0,
      makeNode(opType, [value, ...more], [output], { attributes }),
    );
    node.input[index] = output;
  }

  /** Lets a value be a graph output too. */
  expose(value: string, elemType = 1): void {
    this.graph.output.push({ name: value, type: { tensorType: { elemType } }, metadataProps: [] });
  }

  /** Gives an initializer other dimensions over the same data. */
  setDims(name: string, dims: readonly number[]): void {
    this.tensor(name).dims = dims.map(BigInt);
  }

  /** Makes an initializer a graph input of float32, of sizes that a run decides where they have names. */
  given(name: string, dims: readonly (number | string)[]): void {
    this.graph.initializer = this.graph.initializer.filter((tensor) => tensor.name !== name);
    this.graph.input.push(makeValueInfo(name, DataType.FLOAT, dims));
  }

  /** Lets an initializer be replaceable by a graph input. */
  overridable(name: string): void {
    const { dataType, dims } = this.tensor(name);
    const dim = dims.map((dimValue) => ({ dimValue }));
    this.graph.input.push({
      name,
      type: { tensorType: { elemType: dataType, shape: { dim } } },
      metadataProps: [],
    });
  }
}
