/** One of the two models of a verification: its messages, and its weights on demand. */

import {
  encodeModel,
  type GraphProto,
  type ModelFile,
  type ModelProto,
  type NodeProto,
  openModel,
  type TensorProto,
} from '@ort-dora/onnx';
import { VerifyError } from './error.js';
import { isElementType, toFloat64 } from './tensor.js';

/** Domain of the fused operators. */
const domain = 'ort.dora';

export class OpenedModel {
  readonly #file: ModelFile;
  readonly #initializers: ReadonlyMap<string, TensorProto>;
  readonly #values: ReadonlySet<string>;

  readonly graph: GraphProto;

  private constructor(
    /** As it was given: for messages. */
    readonly path: string,
    file: ModelFile,
    readonly proto: ModelProto,
  ) {
    this.#file = file;
    const graph = proto.graph!;
    this.graph = graph;
    this.#initializers = new Map(graph.initializer.map((tensor) => [tensor.name ?? '', tensor]));
    this.#values = new Set([
      ...this.#initializers.keys(),
      ...graph.input.map(({ name = '' }) => name),
      ...graph.node.flatMap(({ output }) => output),
    ]);
  }

  /** @throws OnnxError: no ONNX model, or external data that are not where they should be */
  static async open(path: string): Promise<OpenedModel> {
    const file = await openModel(path);
    if (file.model.graph) return new OpenedModel(path, file, file.model);
    await file.close();
    throw new VerifyError('CANNOT_RUN', `${path} has no graph: there is nothing to compare`);
  }

  /** The same file with another graph, made of its parts. It is closed with this one. */
  withModel(proto: ModelProto): OpenedModel {
    return new OpenedModel(this.path, this.#file, proto);
  }

  /** Whether any node is one of the fused operators. */
  get usesOperators(): boolean {
    const bodies = [this.graph.node, ...this.proto.functions.map(({ node }) => node)];
    return bodies.some((nodes) => nodes.some(callsOperator));
  }

  isInitializer(name: string): boolean {
    return this.#initializers.has(name);
  }

  /** Whether the main graph has a value of this name: given, stored or computed. */
  hasValue(name: string): boolean {
    return this.#values.has(name);
  }

  /** The numbers of an initializer of the main graph. */
  async readInitializer(name: string): Promise<Float64Array> {
    const { type, data } = await this.#file.readTensor(this.#initializers.get(name)!);
    if (!isElementType(type.name)) {
      throw new VerifyError(
        'BAD_MODULE',
        `${this.path}: weight ${name} is of type ${type.name}, which has no numbers to compute with`,
      );
    }
    return toFloat64({ type: type.name, data });
  }

  /** The bytes of an edited copy of this model; external data stay where they are. */
  encode(edited: ModelProto): Uint8Array {
    return encodeModel(edited);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

const callsOperator = (node: NodeProto): boolean =>
  node.domain === domain ||
  node.attribute.some(({ g, graphs }) => (g ? [g, ...graphs] : graphs).some((graph) => graph.node.some(callsOperator)));
