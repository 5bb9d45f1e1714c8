/** Finds how many heads a model's KV cache has and how wide they are, where its inputs leave that open. */

import {
  asElements,
  describeTensor,
  elementTypeOf,
  type GraphProto,
  inlineBytes,
  intAttribute,
  isExternal,
  type NodeProto,
  type TensorProto,
} from '@ort-dora/onnx';
import type { ModelConfig } from './interface.js';

export interface CacheSize {
  readonly heads?: number | undefined;
  readonly headSize?: number | undefined;
}

/** Values looked at between a cache and what tells its size: rotary embeddings take some thirty. */
const MOST_VALUES = 96;

/**
 * By input. In this order: what the file declares of the cache that the model gives back, or of what is appended to the one
 * that it takes; the Reshape that splits what is appended into heads, and the layer before it; attributes of attention operators; config.json.
 */
export function cacheSizes(graph: GraphProto, names: readonly string[], config: ModelConfig): Map<string, CacheSize> {
  if (names.length === 0) return new Map();
  const search = new CacheSearch(graph);
  return new Map(
    names.map((name) => {
      const found = search.sizeOf(name);
      return [name, { heads: found.heads ?? config.cacheHeads, headSize: found.headSize ?? config.headSize }];
    }),
  );
}

/** Operators that read a bias, a magnitude or a gain: a number a channel. */
const BY_CHANNEL: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'DoraLinear', 'DoraCompose']);

class CacheSearch {
  readonly #readers = new Map<string, NodeProto[]>();
  readonly #producers = new Map<string, NodeProto>();
  readonly #shapes = new Map<string, readonly (number | undefined)[]>();
  readonly #constants = new Map<string, TensorProto>();

  constructor(graph: GraphProto) {
    for (const node of graph.node) {
      for (const input of node.input) {
        const readers = this.#readers.get(input);
        if (readers) readers.push(node);
        else this.#readers.set(input, [node]);
      }
      for (const output of node.output) this.#producers.set(output, node);
      const value = node.opType === 'Constant' ? node.attribute.find(({ name }) => name === 'value')?.t : undefined;
      if (value !== undefined) this.#constants.set(node.output[0] ?? '', value);
    }
    for (const tensor of graph.initializer) this.#constants.set(tensor.name ?? '', tensor);
    for (const { name = '', type } of [...graph.valueInfo, ...graph.output]) {
      const dims = type?.tensorType?.shape?.dim;
      if (dims)
        this.#shapes.set(
          name,
          dims.map(({ dimValue }) => (dimValue ? Number(dimValue) : undefined)),
        );
    }
  }

  sizeOf(input: string): CacheSize {
    let size: CacheSize = {};
    for (const { node, value } of this.#firstReaders(input)) {
      const isConcat = node.opType === 'Concat';
      const related = isConcat ? [...node.output, ...node.input.filter((name) => name !== value)] : node.output;
      for (const name of related) size = merge(size, sizeOfShape(this.#shapes.get(name)));
      if (isConcat) {
        for (const name of node.input) if (name !== value) size = merge(size, this.#reshapedInto(name));
      } else {
        size = merge(size, { heads: intAttribute(node, 'kv_num_heads') || intAttribute(node, 'num_heads') });
      }
    }
    return size;
  }

  /** What reads a cache, through nodes that pass it on as it is. */
  #firstReaders(input: string): { node: NodeProto; value: string }[] {
    const values = [input];
    const found: { node: NodeProto; value: string }[] = [];
    for (const value of values) {
      for (const node of this.#readers.get(value) ?? []) {
        if (node.opType === 'Cast' || node.opType === 'Identity') values.push(node.output[0] ?? '');
        else found.push({ node, value });
      }
      if (values.length > MOST_VALUES) break;
    }
    return found;
  }

  /** The nearest Reshape to [batch, sequence, heads, head size] that a value comes from; one of both may be left open. */
  #reshapedInto(value: string): CacheSize {
    for (const node of this.#nodesBefore(value)) {
      if (node.opType !== 'Reshape') continue;
      const shape = this.#integers(node.input[1] ?? '');
      if (shape?.length !== 4) continue;
      const [heads, headSize] = [positive(shape[2]), positive(shape[3])];
      if (heads !== undefined && headSize !== undefined) return { heads, headSize };
      const width = this.#widthOf(node.input[0] ?? '');
      const other = (size: number | undefined) => (width && size && width % size === 0 ? width / size : undefined);
      return { heads: heads ?? other(headSize), headSize: headSize ?? other(heads) };
    }
    return {};
  }

  /** Length of the last axis of a layer's result, from the nearest weight or bias that it is computed with. */
  #widthOf(value: string): number | undefined {
    for (const node of this.#nodesBefore(value)) {
      const [, second = ''] = node.input;
      if (node.opType === 'MatMulNBits') return intAttribute(node, 'N');
      if (node.opType === 'MatMul') {
        const turned = this.#producers.get(second);
        const width = turned?.opType === 'Transpose' ? this.#dims(turned.input[0])?.[0] : this.#dims(second)?.at(-1);
        if (width !== undefined) return width;
      }
      if (node.opType === 'Gemm') return this.#dims(second)?.[intAttribute(node, 'transB') === 1 ? 0 : 1];
      const vectors = BY_CHANNEL.has(node.opType ?? '') ? node.input.map((name) => this.#dims(name)) : [];
      const vector = vectors.find((dims) => dims?.length === 1 && dims[0]! > 1);
      if (vector !== undefined) return vector[0];
    }
    return undefined;
  }

  #dims(name = ''): readonly number[] | undefined {
    return this.#constants.get(name)?.dims.map(Number);
  }

  /** The nodes that a value is computed by, the nearest first. */
  *#nodesBefore(value: string): Generator<NodeProto> {
    const seen = new Set([value]);
    for (const name of seen) {
      if (seen.size > MOST_VALUES) return;
      const node = this.#producers.get(name);
      if (node === undefined) continue;
      yield node;
      for (const each of node.input) if (each !== '') seen.add(each);
    }
  }

  /** A shape as it is stored, or put together: what is computed is undefined. */
  #integers(name: string): readonly (number | undefined)[] | undefined {
    const tensor = this.#constants.get(name);
    if (tensor !== undefined) return isExternal(tensor) ? undefined : storedIntegers(tensor);
    const node = this.#producers.get(name);
    if (node?.opType !== 'Concat') return undefined;
    return node.input.flatMap((part): readonly (number | undefined)[] => {
      const stored = this.#constants.get(part);
      return (stored && !isExternal(stored) && storedIntegers(stored)) || [undefined];
    });
  }
}

const longestShape = 8;

function storedIntegers(tensor: TensorProto): readonly number[] | undefined {
  const { type, dims } = describeTensor(tensor);
  if (type.name !== 'int64' || dims.reduce((a, b) => a * b, 1) > longestShape) return undefined;
  return Array.from(asElements(inlineBytes(tensor), elementTypeOf(type.dataType)), Number);
}

const sizeOfShape = (shape: readonly (number | undefined)[] = []): CacheSize =>
  shape.length < 4 ? {} : { heads: shape.at(-3), headSize: shape.at(-1) };

const positive = (size: number | undefined) => (size !== undefined && size > 0 ? size : undefined);

const merge = (first: CacheSize, then: CacheSize): CacheSize => ({
  heads: first.heads ?? then.heads,
  headSize: first.headSize ?? then.headSize,
});
