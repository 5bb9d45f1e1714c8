import { readFileSync } from 'node:fs';
import { DataType, decodeModel, type GraphProto, makeGraph, makeNode, makeTensor, makeValueInfo } from '@ort-dora/onnx';
import { expect, test } from 'vitest';
import { cacheSizes } from './cache-sizes.js';
import { withKnownDims } from './known-dims.js';

const past = 'past_key_values.0.value';
const sizeOf = (graph: GraphProto, config = {}) => cacheSizes(graph, [past], config).get(past);

/** v = Transpose(Reshape(x·W, shape)), appended to the cache. */
function appending(shape: 'stored' | 'concatenated', declared?: (number | string)[]): GraphProto {
  const int64 = (name: string, ...values: number[]) =>
    makeTensor(name, DataType.INT64, [values.length], BigInt64Array.from(values, BigInt));
  return makeGraph('g', {
    nodes: [
      ...(shape === 'concatenated' ? [makeNode('Concat', ['batch', 'open', 'heads', 'size'], ['shape'])] : []),
      makeNode('Reshape', ['product', 'shape'], ['split']),
      makeNode('Transpose', ['split'], ['turned'], { attributes: { perm: { ints: [0, 2, 1, 3] } } }),
      makeNode('Cast', ['turned'], ['v'], { attributes: { to: { int: DataType.FLOAT } } }),
      makeNode('Concat', [past, 'v'], ['present'], { attributes: { axis: { int: -2 } } }),
    ],
    inputs: [makeValueInfo(past, DataType.FLOAT, ['b', 'h', 'p', 'd']), makeValueInfo('product', DataType.FLOAT)],
    outputs: [makeValueInfo('present', DataType.FLOAT, declared ?? ['b', 'h', 'p + 1', 'd'])],
    initializers: [
      ...(shape === 'stored' ? [int64('shape', 0, -1, 3, 24)] : []),
      int64('open', -1),
      int64('heads', 3),
      int64('size', 24),
    ],
  });
}

test('from the shape that splits what is appended into heads, stored or put together', () => {
  expect(sizeOf(appending('stored'))).toEqual({ heads: 3, headSize: 24 });
  expect(sizeOf(appending('concatenated'))).toEqual({ heads: 3, headSize: 24 });
});

test('from the declared shape of what is given back, before anything else', () => {
  expect(sizeOf(appending('stored', ['b', 5, 'p', 'd']))).toEqual({ heads: 5, headSize: 24 });
});

test('from an attention operator and config.json', () => {
  const graph = makeGraph('g', {
    nodes: [
      makeNode('GroupQueryAttention', ['q', 'k', 'v', past], ['y'], {
        domain: 'com.microsoft',
        attributes: { num_heads: { int: 8 }, kv_num_heads: { int: 2 } },
      }),
    ],
    inputs: [],
    outputs: [],
  });
  expect(sizeOf(graph, { headSize: 64, cacheHeads: 9 })).toEqual({ heads: 2, headSize: 64 });
  expect(sizeOf(graph)).toEqual({ heads: 2, headSize: undefined });
});

test('in a real export, keys with their rotary embedding too', () => {
  const path = new URL('../../../../models/fixtures/samples/m13_llama_kvcache_dynamo/model.onnx', import.meta.url);
  const graph = decodeModel(new Uint8Array(readFileSync(path))).graph!;
  const names = graph.input.map(({ name = '' }) => name).filter((name) => name.startsWith('past'));
  const expected = Object.fromEntries(
    graph.input.map(({ name, type }) => {
      const dims = type!.tensorType!.shape!.dim.map(({ dimValue }) => Number(dimValue));
      return [name, { heads: dims[1], headSize: dims[3] }];
    }),
  );
  expect(names.length).toBeGreaterThan(2);
  // Without what the file declares.
  const bare = { ...graph, valueInfo: [], output: graph.output.map(({ name = '' }) => makeValueInfo(name)) };
  for (const [name, size] of cacheSizes(bare, names, {})) expect(size).toEqual(expected[name]);
});

test('known sizes stand for their symbols in every input; a given one goes before, and a name that is not there is an error', () => {
  const inputs = [
    { name: past, type: 'float32' as const, dims: ['b', 'h', 'p', 'd'] },
    { name: 'other', type: 'float32' as const, dims: ['h', 'd'] },
    { name: 'past_key_values.0.key', type: 'float32' as const, dims: ['b', undefined, 'p', undefined] },
  ];
  const caches = new Map([
    [past, { heads: 3, headSize: 24 }],
    ['past_key_values.0.key', { heads: 3 }],
  ]);
  expect(withKnownDims(inputs, new Map([['d', 8]]), caches).map(({ dims }) => dims)).toEqual([
    ['b', 3, 'p', 8],
    [3, 8],
    ['b', 3, 'p', undefined],
  ]);
  expect(() => withKnownDims(inputs, new Map([['q', 8]]), caches)).toThrow(
    'no input has a dimension "q"; the symbolic ones are b, h, p, d',
  );
});
