import { DATA_TYPE } from '../tensors/elements.js';
import type { FloatType } from './form.js';

/** An attribute of a body node: a literal, or a reference to an attribute of the function. */
export type BodyAttribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'float32Tensor'; readonly value: number }
  | { readonly kind: 'int64Tensor'; readonly value: readonly number[] }
  | { readonly kind: 'floatReference'; readonly attribute: string }
  | { readonly kind: 'intReference'; readonly attribute: string };

/** One node of a function body, in the default ONNX domain. */
export interface BodyNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, BodyAttribute>>;
}

/** A value of a body with its element type, which decides where casts go. */
export interface BodyValue {
  readonly name: string;
  readonly type: FloatType;
}

/**
 * Writes the nodes of one function body, in order.
 *
 * Everything that depends on initializers only (transposes of weights, their casts, `scaling` folded into B) is
 * written as separate nodes before its use, so that a runtime can fold it at load.
 */
export class BodyWriter {
  readonly nodes: BodyNode[] = [];
  readonly #names = new Set<string>();

  constructor(
    readonly opset: number,
    inputs: readonly string[],
  ) {
    for (const input of inputs) this.#names.add(input);
  }

  /** `value` in `type`; the value itself where it has that type already. Casting the same value again costs nothing. */
  cast(value: BodyValue, type: FloatType): BodyValue {
    if (value.type === type) return value;
    const name = `${value.name}_${type}`;
    if (this.#names.has(name)) return { name, type };
    return this.#value(name, type, 'Cast', [value.name], { to: { kind: 'int', value: DATA_TYPE[type] } });
  }

  /** The transpose of a matrix. */
  transpose(matrix: BodyValue): BodyValue {
    return this.#value(`${matrix.name}_transposed`, matrix.type, 'Transpose', [matrix.name], {
      perm: { kind: 'ints', value: [1, 0] },
    });
  }

  /** An elementwise or matrix operator with two inputs of one type. */
  binary(opType: 'Add' | 'Sub' | 'Mul' | 'Div' | 'MatMul', left: BodyValue, right: BodyValue, name: string): BodyValue {
    return this.#value(name, left.type, opType, [left.name, right.name], {});
  }

  /** The float32 attribute `scaling` as a scalar: by reference, or baked in as `value`. */
  scaling(value: number | undefined): BodyValue {
    if (value === undefined) {
      return this.#value('s', 'float32', 'Constant', [], {
        value_float: { kind: 'floatReference', attribute: 'scaling' },
      });
    }
    return this.scalar('s', value);
  }

  /** A float32 scalar. */
  scalar(name: string, value: number): BodyValue {
    return this.#value(name, 'float32', 'Constant', [], { value: { kind: 'float32Tensor', value } });
  }

  /** Euclidean norms of a matrix along one axis, which is dropped. */
  norm(matrix: BodyValue, axis: 0 | 1): BodyValue {
    const keepdims: BodyAttribute = { kind: 'int', value: 0 };
    if (this.opset < 18) {
      return this.#value('n', matrix.type, 'ReduceL2', [matrix.name], {
        axes: { kind: 'ints', value: [axis] },
        keepdims,
      });
    }
    return this.#value('n', matrix.type, 'ReduceL2', [matrix.name, this.ints('n_axes', [axis])], { keepdims });
  }

  /** Sum over all axes but the last: `[..., out]` to `[out]`. */
  sumRows(value: BodyValue, name: string): BodyValue {
    const rows = this.#value(`${name}_rows`, value.type, 'Flatten', [value.name], { axis: { kind: 'int', value: -1 } });
    const keepdims: BodyAttribute = { kind: 'int', value: 0 };
    if (this.opset < 13) {
      return this.#value(name, value.type, 'ReduceSum', [rows.name], { axes: { kind: 'ints', value: [0] }, keepdims });
    }
    return this.#value(name, value.type, 'ReduceSum', [rows.name, this.ints(`${name}_axes`, [0])], { keepdims });
  }

  /** A vector `[out]` with `count` axes of size one appended. */
  appendAxes(vector: BodyValue, count: number): BodyValue {
    const axes = Array.from({ length: count }, (_, index) => index + 1);
    const name = `${vector.name}_channels_first`;
    if (this.opset < 13) {
      return this.#value(name, vector.type, 'Unsqueeze', [vector.name], { axes: { kind: 'ints', value: axes } });
    }
    return this.#value(name, vector.type, 'Unsqueeze', [vector.name, this.ints(`${name}_axes`, axes)], {});
  }

  /** Names `value` as the function's output, through a final cast where its type differs. */
  output(value: BodyValue, name: string, type: FloatType): void {
    if (value.type !== type) {
      this.nodes.push({
        opType: 'Cast',
        inputs: [value.name],
        outputs: [name],
        attributes: { to: { kind: 'int', value: DATA_TYPE[type] } },
      });
      return;
    }
    const rename = (used: string) => (used === value.name ? name : used);
    for (const [index, node] of this.nodes.entries()) {
      this.nodes[index] = { ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) };
    }
  }

  /** An int64 vector. */
  ints(name: string, value: readonly number[]): string {
    return this.node(name, 'Constant', [], { value: { kind: 'int64Tensor', value } });
  }

  /** The int attribute `attribute` of the function, by reference, as an int64 vector of one element. */
  intAttribute(attribute: string): string {
    const scalar = this.node(`${attribute}_scalar`, 'Constant', [], { value_int: { kind: 'intReference', attribute } });
    return this.node(attribute, 'Reshape', [scalar, this.ints(`${attribute}_shape`, [1])]);
  }

  /** A node with one output, by the name of that output. */
  node(
    output: string,
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, BodyAttribute>> = {},
  ): string {
    if (this.#names.has(output)) throw new Error(`${output} is defined twice in a function body`);
    this.#names.add(output);
    this.nodes.push({ opType, inputs, outputs: [output], attributes });
    return output;
  }

  #value(
    name: string,
    type: FloatType,
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, BodyAttribute>>,
  ): BodyValue {
    return { name: this.node(name, opType, inputs, attributes), type };
  }
}
