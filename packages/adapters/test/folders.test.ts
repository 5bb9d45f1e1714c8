// Folders that are not what PEFT writes: refused with the reason, or read with a warning.
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openAdapter } from '../src/index.js';
import { CONFIG, SHAPES, writeFolder } from './support/adapter.js';
import { scratchFolder } from './support/scratch.js';

const scratch = scratchFolder();
let folders = 0;
const fresh = () => join(scratch(), String(folders++));
const [A, B, M] = Object.keys(SHAPES) as [string, string, string];
const without = (...keys: string[]) =>
  Object.fromEntries(Object.entries(SHAPES).filter(([key]) => !keys.includes(key)));

async function refusal(folder: string): Promise<{ code: string; message: string }> {
  const adapter = await openAdapter(folder).catch((error) => error);
  expect(adapter.name).toBe('AdapterError');
  return { code: adapter.code, message: adapter.message };
}

it('a plain folder is read', async () => {
  await using adapter = await openAdapter(writeFolder(fresh()));
  expect(adapter.modules.get('fc')).toMatchObject({
    kind: 'linear',
    rank: 2,
    scaling: 2,
    outFeatures: 4,
    inFeatures: 3,
  });
  expect(adapter.warnings).toEqual([]);
});

it.each<[string, object, string]>([
  ['another method', { peft_type: 'LOHA' }, 'it is of the method "LOHA" (peft_type)'],
  ['no method', { peft_type: undefined }, 'it is of the method absent (peft_type)'],
  ['aLoRA', { alora_invocation_tokens: [1, 2] }, 'aLoRA'],
  ['Arrow', { arrow_config: {} }, 'Arrow'],
  ['KaSA', { kasa_config: { beta: 1 } }, 'KaSA'],
  ['BD-LoRA', { use_bdlora: { nblocks: 2 } }, 'BD-LoRA'],
  ['VeLoRA', { velora_config: {} }, 'VeLoRA'],
  ['MonteCLoRA', { monteclora_config: {} }, 'MonteCLoRA'],
  ['QALoRA', { use_qalora: true }, 'QALoRA'],
  ['a bias on B', { lora_bias: true }, 'a bias on lora_B'],
  ['Megatron', { megatron_config: {} }, 'Megatron'],
  ['layer replication', { layer_replication: [[0, 2]] }, 'layer replication'],
  ['target_parameters', { target_parameters: ['experts.w'] }, 'target_parameters'],
  ['trainable tokens', { trainable_token_indices: [5] }, 'trainable tokens'],
])('%s is refused by name', async (_, option, message) => {
  const refused = await refusal(writeFolder(fresh(), { ...CONFIG, ...option }));
  expect(refused.code).toBe('unsupported');
  expect(refused.message).toContain(message);
});

it('options at rest are no variants', async () => {
  const option = { arrow_config: null, use_bdlora: null, use_qalora: false, layer_replication: null, lora_bias: false };
  await using adapter = await openAdapter(writeFolder(fresh(), { ...CONFIG, ...option, loftq_config: {} }));
  expect(adapter.warnings).toEqual([]);
});

it.each<[string, string | object, string]>([
  ['no JSON', '{', 'it is not JSON'],
  ['a list', '[]', 'it is not a JSON object'],
  ['a key twice', '{"r": 2, "r": 4}', 'the key "r" is there twice'],
  ['a rank of 0', { ...CONFIG, r: 0 }, 'r is 0, and must be a whole number of at least 1'],
  ['half a rank', { ...CONFIG, r: 1.5 }, 'r is 1.5'],
  ['a rank in words', { ...CONFIG, r: 'two' }, 'r is "two"'],
  ['no alpha', { ...CONFIG, lora_alpha: 'x' }, 'lora_alpha is "x", and must be a number'],
  ['patterns that are none', { ...CONFIG, rank_pattern: ['fc'] }, 'rank_pattern is ["fc"]'],
  ['a pattern of rank 0', { ...CONFIG, rank_pattern: { fc: 0 } }, 'rank_pattern is {"fc":0}'],
  ['use_dora in words', { ...CONFIG, use_dora: 'yes' }, 'use_dora is "yes"'],
  ['an unknown bias', { ...CONFIG, bias: 'some' }, 'bias is "some", and must be one of none, all, lora_only'],
  ['targets that are none', { ...CONFIG, target_modules: { fc: 1 } }, 'target_modules is {"fc":1}'],
])('a config with %s is refused', async (_, config, message) => {
  const refused = await refusal(writeFolder(fresh(), config));
  expect(refused.code).toBe('config');
  expect(refused.message).toContain(`adapter_config.json: ${message}`);
});

it.each<[string, object, Record<string, readonly number[]>, string]>([
  ['no tensors', {}, {}, 'it holds no module'],
  ['no A', {}, without(A), 'module fc has no lora_A'],
  ['no B', {}, without(B), 'module fc has no lora_B'],
  ['no magnitude', {}, without(M), 'module fc has no lora_magnitude_vector, and use_dora is true'],
  ['a magnitude too many', { use_dora: false }, SHAPES, 'has a lora_magnitude_vector, and use_dora is false'],
  ['another rank', { r: 3 }, SHAPES, 'has an A of [2, 3], rank 2, and a rank of 3 by the config'],
  ['a B of another rank', {}, { ...SHAPES, [B]: [4, 3] }, 'an A of [2, 3] and a B of [4, 3], which do not fit'],
  ['a flat A', {}, { ...SHAPES, [A]: [6] }, 'has an A of [6]'],
  ['a longer magnitude', {}, { ...SHAPES, [M]: [5] }, 'has a magnitude of [5], not [4]'],
  ['a LyCORIS magnitude', {}, { ...SHAPES, [M]: [1, 4] }, 'has a magnitude of [1, 4], not [4]'],
  ['half an embedding', {}, { ...SHAPES, 'fc.lora_embedding_A': [2, 3] }, 'parts of an embedding and of a layer'],
  ['a part twice', {}, { ...SHAPES, 'fc.lora_A.weight': [2, 3] }, 'are the same part of one module'],
  ['two adapters', {}, { ...SHAPES, 'fc.lora_A.b.weight': [2, 3] }, "several adapters, 'b', one without a name"],
])('%s: tensors and config do not belong together', async (_, option, shapes, message) => {
  const refused = await refusal(writeFolder(fresh(), { ...CONFIG, ...option }, shapes));
  expect(refused.code).toBe('tensors');
  expect(refused.message).toContain(message);
});

it('a convolution in groups is refused by name', async () => {
  const shapes = {
    'base_model.model.fc.lora_A.weight': [2, 6, 3, 3],
    'base_model.model.fc.lora_B.weight': [4, 1, 1, 1],
    'base_model.model.fc.lora_magnitude_vector': [1, 4, 1, 1],
  };
  const refused = await refusal(writeFolder(fresh(), CONFIG, shapes));
  expect(refused).toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('fc is a convolution in 2 groups'),
  });
});

it('an alpha that a lookahead decides is refused, targets that one decides are not compared', async () => {
  const alpha = await refusal(writeFolder(fresh(), { ...CONFIG, alpha_pattern: { '(?!x)fc': 3 } }));
  expect(alpha).toMatchObject({ code: 'pattern', message: expect.stringContaining("'(?!x)fc' of alpha_pattern") });
  await using adapter = await openAdapter(writeFolder(fresh(), { ...CONFIG, target_modules: '(?!x)fc' }));
  expect(adapter.warnings).toEqual([expect.stringContaining('target_modules cannot be evaluated')]);
});

it.each<[string, object, boolean]>([
  ['a list', { target_modules: ['fc'] }, true],
  ['the end of a name', { target_modules: ['c'] }, false],
  ['a pattern', { target_modules: 'f[cd]' }, true],
  ['a pattern of a part', { target_modules: 'f' }, false],
  ['all-linear', { target_modules: 'all-linear' }, true],
  ['an exclusion', { target_modules: ['fc'], exclude_modules: ['fc'] }, false],
  ['an exclusion of others', { target_modules: ['fc'], exclude_modules: 'd.*' }, true],
])('targets: %s', async (_, option, matches) => {
  await using adapter = await openAdapter(writeFolder(fresh(), { ...CONFIG, ...option }));
  expect(adapter.warnings).toEqual(matches ? [] : [expect.stringContaining('1 of 1 modules, fc first, are no target')]);
});

it.each(['pissa', 'pissa_niter_16', 'olora', 'corda', 'loftq', 'lora_ga'])(
  'an adapter that started from %s says so',
  async (init_lora_weights) => {
    await using adapter = await openAdapter(writeFolder(fresh(), { ...CONFIG, init_lora_weights }));
    expect(adapter.warnings).toEqual([expect.stringContaining(`init_lora_weights is ${init_lora_weights}`)]);
  },
);

it('an adapter that started from eva leaves the base as it is', async () => {
  await using adapter = await openAdapter(writeFolder(fresh(), { ...CONFIG, init_lora_weights: 'eva' }));
  expect(adapter.warnings).toEqual([]);
});

it('names what is missing', async () => {
  expect((await refusal(fresh())).code).toBe('io');
  const empty = fresh();
  mkdirSync(empty);
  expect((await refusal(empty)).message).toContain('there is no adapter_config.json in it');
  const folder = writeFolder(fresh());
  rmSync(join(folder, 'adapter_model.safetensors'));
  expect((await refusal(folder)).message).toContain('there is no adapter_model.safetensors in it');
  writeFileSync(join(folder, 'adapter_model.bin'), 'pickle');
  expect(await refusal(folder)).toMatchObject({ code: 'unsupported', message: expect.stringContaining('a pickle') });
  const file = join(scratch(), 'file');
  writeFileSync(file, '');
  expect((await refusal(file)).code).toBe('io');
});

it('reads no file outside the folder', async () => {
  const folder = writeFolder(fresh());
  const inside = join(folder, 'real.safetensors');
  copyFileSync(join(folder, 'adapter_model.safetensors'), inside);
  const replace = (target: string) => {
    rmSync(join(folder, 'adapter_model.safetensors'), { recursive: true });
    symlinkSync(target, join(folder, 'adapter_model.safetensors'));
  };
  replace('real.safetensors');
  await (await openAdapter(folder)).close();
  replace(join(writeFolder(fresh()), 'adapter_model.safetensors'));
  expect(await refusal(folder)).toMatchObject({ code: 'path', message: expect.stringContaining('leads out') });
  replace('/dev/zero');
  expect((await refusal(folder)).code).toBe('path');
  replace('adapter_model.safetensors');
  expect((await refusal(folder)).code).toBe('io');
  rmSync(join(folder, 'adapter_model.safetensors'));
  mkdirSync(join(folder, 'adapter_model.safetensors'));
  expect(await refusal(folder)).toMatchObject({ code: 'path', message: expect.stringContaining('not a regular file') });
});
