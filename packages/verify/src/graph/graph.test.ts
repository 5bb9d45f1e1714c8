import { readFileSync } from 'node:fs';
import { DataType, decodeModel, encodeModel, type ModelProto } from '@ort-dora/onnx';
import { createSession, type TensorData } from '@ort-dora/runtime';
import { expect, test } from 'vitest';
import { branchModel } from '../../test/branch-model.js';
import { difference } from '../difference.js';
import { readNpzFile } from '../inputs/npz.js';
import { tableRows } from '../inputs/table-rows.js';
import { toFloat64 } from '../tensor.js';
import { cut } from './cut.js';
import { expose } from './expose.js';
import { inFloat32, usesHalf } from './float32.js';
import { describeInterface } from './interface.js';

const samples = new URL('../../../../models/fixtures/samples/', import.meta.url).pathname;
const load = (sample: string) => decodeModel(readFileSync(`${samples}${sample}/model.onnx`));
const inputsOf = (sample: string) => readNpzFile(`${samples}${sample}/inputs.npz`);

async function run(model: ModelProto, feeds: ReadonlyMap<string, TensorData>): Promise<Record<string, TensorData>> {
  const session = await createSession(encodeModel(model), { customOps: 'off' });
  try {
    return await session.run(Object.fromEntries(feeds));
  } finally {
    await session.dispose();
  }
}

const values = (tensor: TensorData) => toFloat64(tensor as Parameters<typeof toFloat64>[0]);
const fp16 = 'c10_fp16base_fp32adapter_dynamo';

test('exposed values come out beside the outputs, all from one session', async () => {
  const model = load(fp16);
  const names = ['val_1', 'linear', 'add_33', 'y', 'x', 'nowhere'];
  const exposed = expose(model, names);
  expect([...exposed.hidden]).toEqual([['nowhere', 'not in the graph']]);
  const results = await run(exposed.model, await inputsOf(fp16));
  expect(Object.keys(results).sort()).toEqual(['add_33', 'linear', 'val_1', 'y']);
  expect(results.linear).toMatchObject({ type: 'float16', dims: [2, 3, 32] });
  expect(model.graph!.output).toHaveLength(1);
});

test('values inside a branch are named as hidden', () => {
  const { hidden } = expose(branchModel(), ['inner', 'y']);
  expect([...hidden]).toEqual([['inner', 'inside a subgraph or function']]);
});

test('a part that is cut out computes on given inputs what it computes in the graph', async () => {
  const sample = 'c18b_two_adapters_nobias_legacy';
  const model = load(sample);
  const feeds = await inputsOf(sample);
  const first = '/m/model/q_proj/Add_output_0';
  const second = '/m/model/q_proj/Add_1_output_0';
  const parts = [
    { from: ['x'], to: first },
    { from: ['x', first], to: second },
  ];
  const whole = await run(expose(model, [first, second]).model, feeds);
  const types = new Map([
    ['x', { elementType: DataType.FLOAT, rank: 3 }],
    [first, { elementType: DataType.FLOAT, rank: 3 }],
  ]);
  const { model: pieces, inputFor, keptInputs, missing } = cut(model, parts, types);
  expect([missing.size, keptInputs]).toEqual([0, []]);
  const results = await run(
    pieces,
    new Map([
      [inputFor('x')!, feeds.get('x')!],
      [inputFor(first)!, whole[first]!],
    ]),
  );
  expect(results[first]!.data).toEqual(whole[first]!.data);
  expect(results[second]!.data).toEqual(whole[second]!.data);

  // The second part really reads what it is given: zeros change it, and nothing upstream of them is computed.
  const zeros = { ...whole[first]!, data: new Float32Array(whole[first]!.data.length) };
  const changed = await run(
    pieces,
    new Map<string, TensorData>([
      [inputFor('x')!, feeds.get('x')!],
      [inputFor(first)!, zeros],
    ]),
  );
  expect(changed[first]!.data).toEqual(whole[first]!.data);
  expect(changed[second]!.data).not.toEqual(whole[second]!.data);
});

test('parts that are not there, or begin elsewhere, are named', () => {
  const model = load(fp16);
  const parts = [
    { from: ['x'], to: 'nowhere' },
    { from: ['linear'], to: 'val_1' },
  ];
  const types = new Map([
    ['x', { elementType: DataType.FLOAT16, rank: 3 }],
    ['linear', { elementType: DataType.FLOAT16, rank: 3 }],
  ]);
  const { missing } = cut(model, parts, types);
  expect([...missing.values()]).toEqual([
    'nowhere is not computed in the main graph',
    'val_1 does not depend on linear',
  ]);
});

test('a part inside which a branch reads the cut value', async () => {
  const { model, inputFor } = cut(
    branchModel(),
    [{ from: ['h'], to: 'y' }],
    new Map([['h', { elementType: DataType.FLOAT, rank: 1 }]]),
  );
  const tensor = (type: 'bool' | 'float32', data: TensorData['data'], dims: number[]): TensorData => ({
    type,
    data,
    dims,
  });
  const feeds = new Map([
    ['condition', tensor('bool', Uint8Array.of(1), [])],
    [inputFor('h')!, tensor('float32', Float32Array.of(5, 6), [2])],
  ]);
  expect((await run(model, feeds)).y!.data).toEqual(Float32Array.of(10, 12));
});

// In the whole model, constants that the export had folded in float16 (attention's scale, say) stay rounded.
test.each([
  ['c10_fp16base_fp32adapter_dynamo', 2e-5],
  ['m10b_smolvlm_dynamo_mixed', 5e-4],
])('%s in float32 is what PyTorch computes in float64, within %s', async (sample, limit) => {
  const model = load(sample);
  expect(usesHalf(model)).toBe(true);
  const results = await run(inFloat32(model), await inputsOf(sample));
  const expected = await readNpzFile(`${samples}${sample}/expected.npz`);
  const output = model.graph!.output[0]!.name!;
  expect(results[output]!.type).toBe('float32');
  const { relative } = difference(values(results[output]!), values(expected.get(`${output}__f64`)!));
  expect(relative).toBeLessThan(limit);
});

test('bfloat16 constants, casts and branches are widened', async () => {
  const model = branchModel(DataType.BFLOAT16);
  expect(usesHalf(model)).toBe(true);
  const feeds = new Map<string, TensorData>([
    ['condition', { type: 'bool', data: Uint8Array.of(1), dims: [] }],
    ['x', { type: 'float32', data: Float32Array.of(1.001, -3), dims: [2] }],
  ]);
  const { y } = await run(inFloat32(model), feeds);
  expect(y!.type).toBe('float32');
  expect([...values(y!)].map((value) => Number(value.toFixed(4)))).toEqual([4.002, -4]);
});

test('interfaces: dims, names and symbols; tables bound their indices', () => {
  const decoder = load('m13_llama_kvcache_dynamo');
  const { inputs, outputs } = describeInterface(decoder, 'm13');
  expect(inputs[3]).toEqual({ name: 'past_key_values.0.key', type: 'float32', dims: ['batch', 2, 'past', 24] });
  expect(outputs.map(({ name }) => name)).toContain('present.1.value');
  expect(tableRows(decoder).get('input_ids')).toBe(96);
  expect(tableRows(load('c14b_embedding_legacy_nofold')).get('x')).toBeGreaterThan(1);
});
