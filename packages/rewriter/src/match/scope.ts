import type { NodeProto, TensorProto } from '@ort-dora/onnx';

/**
 * What matching needs of one graph: the main graph, a subgraph or a function body. Values are looked up in the scope
 * itself and then outwards, as ONNX does.
 */
export interface MatchScope {
  /** Path for messages; '' for the main graph. */
  readonly path: string;
  /** The scope's own nodes in file order. */
  readonly nodes: readonly NodeProto[];
  /** The node that computes a value, here or further out. */
  producer(value: string): NodeProto | undefined;
  /** The nodes that read a value, in this scope and those inside it. */
  readers(value: string): readonly NodeProto[];
  /** Whether the value is an output of its graph. */
  isOutput(value: string): boolean;
  /** Constant data of a value: an initializer that no graph input overrides, or a Constant node's tensor. */
  constant(value: string): TensorProto | undefined;
  /** The numbers of a constant of few elements. */
  smallConstant(value: string): readonly number[] | undefined;
  /** Number of the element type, declared or inferred. */
  elementType(value: string): number | undefined;
  /** Shape, declared or inferred; undefined entries are symbolic or unknown. */
  shape(value: string): readonly (number | undefined)[] | undefined;
  /** Small constant integers (shapes, axes), computed through shape arithmetic where needed. */
  integers(value: string): readonly number[] | undefined;
}
