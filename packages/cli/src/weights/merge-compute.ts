/** Merged weights, W' = g·(W + s·B·A), by a model of standard operators and DoraCompose: all cores, a range of rows at a time. */

import { ELEMENT_BYTES } from '@ort-dora/adapters';
import { DataType, type ModelProto, makeGraph, makeModel, makeNode, makeTensor, makeValueInfo } from '@ort-dora/onnx';
import {
  DATA_TYPE,
  DORA_DOMAIN,
  DORA_OPSET_VERSION,
  type DoraComposeForm,
  type FloatType,
  factorsOf,
  type MergeCompute,
  type MergeRequest,
  mergeExactly,
  operatorFunction,
  operatorNode,
  storedShape,
} from '@ort-dora/rewriter';
import { RuntimeError, type TensorData } from '@ort-dora/runtime';
import { Memory, type Range, readAll, readOutputs, tensorOf } from './matrix-ranges.js';
import { OperatorSessions } from './operator-sessions.js';
import { readAhead } from './read-ahead.js';

const opset = 18;

/** Of W at once. The product of its rows takes twice as much again, or four times in half precision. */
const RANGE_BYTES = 8 * 2 ** 20;

/** Sessions and memory for the merges of one model. */
export class WeightMerge implements AsyncDisposable {
  readonly #sessions = new OperatorSessions();
  readonly #memory = new Map<string, Memory>();

  /** @param rangeBytes of W to compute at once, at least a row */
  constructor(private readonly rangeBytes = RANGE_BYTES) {}

  /**
   * In float32, rounded once: while one range is computed, the next is read and the one before written. Where the runtime
   * cannot do it, the rewriter's own float64 computation stands in.
   */
  readonly compute: MergeCompute = (request) => this.#compute(request);

  async *#compute(request: MergeRequest): AsyncGenerator<Uint8Array> {
    let begun = false;
    try {
      for await (const piece of readAhead(this.#merged(request))) {
        begun = true;
        yield piece;
      }
    } catch (error) {
      // Stock onnxruntime-node has no bfloat16, for one.
      if (begun || !(error instanceof RuntimeError)) throw error;
      yield* mergeExactly(request);
    }
  }

  async *#merged(request: MergeRequest): AsyncGenerator<Uint8Array> {
    const { type, signal } = request;
    const session = await this.#sessions.get(formOf(request), () => mergeModel(request), signal);
    let turn = 0;
    for await (const feeds of readAhead(this.#loaded(request))) {
      const { dims } = feeds.W!;
      const target = this.#take(
        `y${turn++ % 2}`,
        dims.reduce((product, dim) => product * dim, ELEMENT_BYTES[type]),
      );
      await session.run(feeds, { fetches: { y: tensorOf(type, dims, target) }, ...(signal && { signal }) });
      yield target;
    }
  }

  /** What the model takes for each range. */
  async *#loaded(request: MergeRequest): AsyncGenerator<Record<string, TensorData>> {
    const { weight, transW, adapters } = request;
    const [rows, columns] = storedShape(request);
    const whole: Record<string, TensorData> = {};
    for (const [index, adapter] of adapters.entries()) {
      const { right } = factorsOf(adapter, transW);
      whole[`R${index}`] = await this.#float32(right.tensor, `R${index}`, request.signal);
    }
    let turn = 0;
    for (const range of rangesOf(rows, columns * ELEMENT_BYTES[weight.type], this.rangeBytes)) {
      const slot = turn++ % 2;
      const read = (tensor: typeof weight, transposed: 0 | 1, inner: number, name: string) =>
        readOutputs({ tensor, transposed, outputs: rows, inner }, range, this.#memoryOf(`${name}${slot}`));
      const W = await read(weight, 0, columns, 'W');
      const feeds: Record<string, TensorData> = {
        ...whole,
        W: transW === 0 ? { ...W, dims: [1, range.count, columns] } : W,
      };
      for (const [index, adapter] of adapters.entries()) {
        const { left } = factorsOf(adapter, transW);
        feeds[`L${index}`] = await read(left.tensor, left.transposed, adapter.rank, `L${index}-`);
        const gain = transW === 0 ? adapter.gain.subarray(range.first, range.first + range.count) : adapter.gain;
        feeds[`g${index}`] = { type: 'float32', dims: [gain.length], data: gain };
      }
      yield feeds;
    }
  }

  /** All of a tensor in float32. */
  async #float32(tensor: MergeRequest['weight'], name: string, signal: AbortSignal | undefined): Promise<TensorData> {
    const stored = await readAll(tensor, tensor.dims, this.#memoryOf(`${name}-stored`));
    if (tensor.type === 'float32') return stored;
    const target = this.#take(name, 2 * tensor.byteLength);
    const wide = tensorOf('float32', tensor.dims, target);
    const session = await this.#sessions.get(`widen ${tensor.type}`, () => widenModel(tensor.type), signal);
    await session.run({ x: stored }, { fetches: { y: wide }, ...(signal && { signal }) });
    return wide;
  }

  #memoryOf(name: string): Memory {
    const known = this.#memory.get(name) ?? new Memory();
    this.#memory.set(name, known);
    return known;
  }

  #take(name: string, length: number) {
    return this.#memoryOf(name).bytes(length);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sessions[Symbol.asyncDispose]();
  }
}

function* rangesOf(rows: number, rowBytes: number, rangeBytes: number): Generator<Range> {
  const size = Math.max(1, Math.floor(rangeBytes / Math.max(1, rowBytes)));
  for (let first = 0; first < rows; first += size) yield { first, count: Math.min(size, rows - first) };
}

/** Everything that decides the model. */
function formOf({ weight, type, transW, adapters }: MergeRequest): string {
  return JSON.stringify([weight.type, type, transW, adapters.map(adapterForm)]);

  function adapterForm(adapter: MergeRequest['adapters'][number]) {
    const { left, right } = factorsOf(adapter, transW);
    return [left.tensor.type, left.transposed, right.transposed, adapter.scaling];
  }
}

/** y of W `[rows, columns]`, or with g for each row `[1, rows, columns]`; L `[rows, r]`, R `[r, columns]` (or transposed) and g of each adapter. */
function mergeModel({ weight, type, transW, adapters }: MergeRequest): ModelProto {
  // Between chained adapters nothing is rounded.
  const inside = adapters.length === 1 && weight.type === type ? type : 'float32';
  const form: DoraComposeForm = {
    op: 'DoraCompose',
    base: inside,
    lora: 'float32',
    bias: 'none',
    channels: transW === 0 ? { axis: 1, rank: 3 } : { axis: -1 },
  };
  const nodes: ReturnType<typeof makeNode>[] = [];
  const inputs = [makeValueInfo('W', DATA_TYPE[weight.type])];
  const add = (node: ReturnType<typeof makeNode>) => {
    nodes.push(node);
    return node.output[0]!;
  };
  const cast = (value: string, from: FloatType, to: FloatType, name = `${value}.${to}`) =>
    from === to ? value : add(makeNode('Cast', [value], [name], { attributes: { to: { int: DATA_TYPE[to] } } }));
  const turned = (value: string, transposed: 0 | 1) =>
    transposed === 0
      ? value
      : add(makeNode('Transpose', [value], [`${value}.turned`], { attributes: { perm: { ints: [1, 0] } } }));
  let value = cast('W', weight.type, inside);
  for (const [index, adapter] of adapters.entries()) {
    const { left, right } = factorsOf(adapter, transW);
    const names = [`L${index}`, `R${index}`, `g${index}`] as const;
    inputs.push(
      makeValueInfo(names[0], DATA_TYPE[left.tensor.type]),
      ...names.slice(1).map((name) => makeValueInfo(name, DataType.FLOAT)),
    );
    const l = cast(turned(names[0], left.transposed), left.tensor.type, 'float32');
    const product = add(makeNode('MatMul', [l, turned(names[1], right.transposed)], [`product${index}`]));
    const lora = transW === 0 ? add(makeNode('Unsqueeze', [product, 'first'], [`lora${index}`])) : product;
    const isLast = index === adapters.length - 1 && inside === type;
    const options = { opset, target: 'cpu', scaling: adapter.scaling } as const;
    value = add(
      operatorNode(form, options, {
        ...options,
        inputs: [value, lora, names[2]],
        outputs: [isLast ? 'y' : `merged${index}`],
      }),
    );
  }
  if (inside !== type) cast(value, inside, type, 'y');
  const graph = makeGraph('merge', {
    inputs,
    outputs: [makeValueInfo('y', DATA_TYPE[type])],
    initializers: [makeTensor('first', DataType.INT64, [1], BigInt64Array.of(0n))],
    nodes,
  });
  return makeModel(graph, {
    opsets: { '': opset, [DORA_DOMAIN]: DORA_OPSET_VERSION },
    functions: [operatorFunction(form, { opset, target: 'cpu', scaling: 1 })],
  });
}

function widenModel(type: FloatType): ModelProto {
  const graph = makeGraph('widen', {
    inputs: [makeValueInfo('x', DATA_TYPE[type])],
    outputs: [makeValueInfo('y', DataType.FLOAT)],
    nodes: [makeNode('Cast', ['x'], ['y'], { attributes: { to: { int: DataType.FLOAT } } })],
  });
  return makeModel(graph, { opsets: { '': opset } });
}
