import { expect, test } from 'vitest';
import { toFloat64 } from '../tensor.js';
import { parseConfig } from './config.js';
import { generateInputs } from './generate.js';
import type { InputKnowledge, TensorInfo } from './interface.js';
import { leftPadding } from './padding.js';
import { openSymbols, resolveDims, type Sizes, sizesToTry } from './sizes.js';

const nothing: InputKnowledge = { tableRows: new Map(), config: {} };
const input = (name: string, type: TensorInfo['type'], ...dims: TensorInfo['dims']): TensorInfo => ({
  name,
  type,
  dims,
});
const sizes: Sizes = { batch: 2, sequence: 4, past: 3, other: 5 };
const resolve = (inputs: TensorInfo[], wanted = sizes, config = {}) =>
  Object.fromEntries(resolveDims(inputs, wanted, config));

const decoder = [
  input('attention_mask', 'int64', 'batch', 's53'),
  input('input_ids', 'int64', 'batch', 'seq'),
  input('position_ids', 'int64', 'batch', 'seq'),
  input('past_key_values.0.key', 'float32', 'batch', 2, 'past', 24),
  input('past_key_values.0.value', 'float32', 'batch', 2, 'past', 24),
];

test('a decoder with a KV cache: the mask covers past and new tokens', () => {
  expect(resolve(decoder)).toEqual({
    attention_mask: [2, 7],
    input_ids: [2, 4],
    position_ids: [2, 4],
    'past_key_values.0.key': [2, 2, 3, 24],
    'past_key_values.0.value': [2, 2, 3, 24],
  });
  expect(sizesToTry(decoder).map(({ past }) => past)).toEqual([3, 7, 0]);
});

test("symbols whose names say nothing take the size of their input's part", () => {
  const inputs = [
    input('s', 'float32', 's1'),
    input('input_ids', 'int64', 's0', 's1'),
    input('other', 'float32', 's7', 's7'),
  ];
  expect(resolve(inputs)).toEqual({ s: [4], input_ids: [2, 4], other: [5, 5] });
});

test('what the file fixes decides for all', () => {
  const inputs = [
    input('input_ids', 'int64', 1, 11),
    input('attention_mask', 'int64', 'b', 20),
    input('past.0.key', 'float16', 'b', 2, 'p', 8),
    input('cache', 'float32', 'p + 1', 'past + sequence'),
  ];
  expect(resolve(inputs)).toEqual({
    input_ids: [1, 11],
    attention_mask: [1, 20],
    'past.0.key': [1, 2, 9, 8],
    cache: [10, 20],
  });
});

test('positions in three axes, nameless dims, and images', () => {
  const inputs = [
    input('inputs_embeds', 'float32', undefined, undefined, 320),
    input('position_ids', 'int64', 3, 'b', 's'),
    input('pixel_values', 'float32', 'n', 1176),
    input('image_grid_thw', 'int64', 'm', 3),
    input('image', 'float32', 'batch', 3, 'height', 'width'),
  ];
  expect(resolve(inputs, sizes, { imageSize: 28 })).toEqual({
    inputs_embeds: [2, 4, 320],
    position_ids: [3, 2, 4],
    pixel_values: [16, 1176],
    image_grid_thw: [1, 3],
    image: [2, 3, 28, 28],
  });
});

test('without dynamic axes only the values change', () => {
  expect(sizesToTry([input('x', 'float32', 2, 3)])).toHaveLength(2);
});

test('generated values fit their names', () => {
  const knowledge: InputKnowledge = { tableRows: new Map([['input_ids', 6]]), config: { imageToken: 3 } };
  const made = generateInputs([...decoder, input('use_cache_branch', 'bool', 1)], knowledge, sizes, 1);
  const ids = made.get('input_ids')!;
  expect([...ids.data].every((id) => id >= 0 && id < 6 && BigInt(id) !== 3n)).toBe(true);
  expect([...made.get('attention_mask')!.data]).toEqual(Array(14).fill(1n));
  expect([...made.get('position_ids')!.data]).toEqual([3n, 4n, 5n, 6n, 3n, 4n, 5n, 6n]);
  expect([...made.get('use_cache_branch')!.data]).toEqual([1]);
  const cache = made.get('past_key_values.0.key')!;
  expect(cache.data.length).toBe(2 * 2 * 3 * 24);
  expect(new Set(toFloat64(cache)).size).toBeGreaterThan(200);
});

test('rows that are padded on the left: masked in the past and after it, and not counted by positions', () => {
  const padding = leftPadding(2, 7);
  expect(padding).toEqual([0, 2]);
  const made = generateInputs(decoder, nothing, sizes, 1, padding);
  expect([...made.get('attention_mask')!.data]).toEqual([1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1].map(BigInt));
  expect([...made.get('position_ids')!.data]).toEqual([3n, 4n, 5n, 6n, 1n, 2n, 3n, 4n]);
  const fresh = generateInputs(decoder, nothing, { ...sizes, past: 0 }, 1, leftPadding(2, 4));
  expect([...fresh.get('position_ids')!.data]).toEqual([0n, 1n, 2n, 3n, 1n, 1n, 0n, 1n]);
  const turned = generateInputs(
    [input('position_ids', 'int64', 3, 'b', 's'), ...decoder.slice(3)],
    nothing,
    sizes,
    1,
    padding,
  );
  expect([...turned.get('position_ids')!.data].slice(-8)).toEqual([3n, 4n, 5n, 6n, 1n, 2n, 3n, 4n]);
});

test('a row is never padded away', () => {
  expect(leftPadding(4, 3)).toEqual([0, 2, 2, 2]);
  expect(leftPadding(3, 1)).toEqual([0, 0, 0]);
});

test('masks of scores are causal and leave padding out, as bools or as what is added', () => {
  const inputs = (type: TensorInfo['type']) => [input('attention_mask', type, 2, 1, 2, 4), ...decoder.slice(3)];
  const counts = [1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1];
  const made = (type: TensorInfo['type']) => [
    ...generateInputs(inputs(type), nothing, { ...sizes, past: 2, sequence: 2 }, 1, [0, 1]).get('attention_mask')!.data,
  ];
  expect(made('bool')).toEqual(counts);
  expect(made('float32')).toEqual(counts.map((count) => (count === 1 ? 0 : -10_000)));
});

test("onnxruntime-genai's lengths, and a cache with keys and values in one", () => {
  const inputs = [
    input('input_ids', 'int32', 'b', 's'),
    input('past_0', 'float32', 2, 'b', 4, 'p', 8),
    input('seqlens_k', 'int32', 'b'),
    input('total_sequence_length', 'int32'),
    input('past_seq_len', 'int32', 1),
  ];
  const made = generateInputs(inputs, nothing, sizes, 1);
  expect(made.get('past_0')!.dims).toEqual([2, 2, 4, 3, 8]);
  expect([...made.get('seqlens_k')!.data]).toEqual([6, 6]);
  expect([...made.get('total_sequence_length')!.data]).toEqual([7]);
  expect([...made.get('past_seq_len')!.data]).toEqual([3]);
});

test('symbols that nothing tells the size of are known as such', () => {
  expect(openSymbols([...decoder, input('past.1.key', 'float32', 'batch', 'heads', 'past', 'kv_cache_dim')])).toEqual([
    'heads',
    'kv_cache_dim',
  ]);
});

test('the same seed gives the same values; another seed, or name, gives others', () => {
  const x = (name: string, seed: number) =>
    generateInputs([input(name, 'float16', 40)], nothing, sizes, seed).get(name)!.data;
  expect(x('x', 1)).toEqual(x('x', 1));
  expect(x('x', 1)).not.toEqual(x('x', 2));
  expect(x('x', 1)).not.toEqual(x('z', 1));
});

test('huge declared dims are refused before memory is taken', () => {
  const huge = [input('x', 'float32', 1_000_000, 1_000_000)];
  expect(() => generateInputs(huge, nothing, sizes, 1)).toThrow('input "x" has dims [1000000, 1000000]');
});

test('config.json: nested or flat, and nonsense is ignored', () => {
  const nested = { text_config: { vocab_size: 96 }, image_token_id: 95, vision_config: { image_size: 16 } };
  expect(parseConfig(nested)).toEqual({ vocabularySize: 96, imageToken: 95, imageSize: 16 });
  expect(parseConfig({ vocab_size: 7, vision_config: { image_size: { longest_edge: 512 } } })).toEqual({
    vocabularySize: 7,
    imageSize: 512,
  });
  expect(parseConfig({ vocab_size: 'many', image_token_id: -1 })).toEqual({});
  expect(parseConfig(null)).toEqual({});
  const heads = { num_attention_heads: 8, hidden_size: 96, num_key_value_heads: 2 };
  expect(parseConfig({ text_config: heads })).toEqual({ cacheHeads: 2, headSize: 12 });
  expect(parseConfig({ n_head: 4, n_embd: 30 })).toEqual({ cacheHeads: 4 });
});
