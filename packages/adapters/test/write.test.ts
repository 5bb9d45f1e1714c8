// What writing leaves behind: a whole folder, or nothing.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { type AdapterContents, openAdapter, type TensorContents, writeAdapter } from '../src/index.js';
import { CONFIG } from './support/adapter.js';
import { scratchFolder } from './support/scratch.js';

const scratch = scratchFolder();
let folders = 0;
let place: string;
beforeEach(() => {
  const parent = join(scratch(), String(folders++));
  mkdirSync(parent);
  place = join(parent, 'adapter');
});

const tensor = (dims: readonly number[], type: TensorContents['type'] = 'float32'): TensorContents => {
  const bytes = new Uint8Array(dims.reduce((product, size) => product * size, type === 'float32' ? 4 : 2)).fill(1);
  return {
    type,
    dims,
    byteLength: bytes.length,
    read: async (start = 0, end = bytes.length) => bytes.subarray(start, end),
  };
};
const module = {
  path: 'fc',
  kind: 'linear' as const,
  loraA: tensor([2, 3]),
  loraB: tensor([4, 2]),
  magnitude: tensor([4]),
};
const contents: AdapterContents = { config: JSON.stringify(CONFIG), modules: [module] };
const siblings = () => readdirSync(join(place, '..'));

it('makes folders on the way, and takes an empty one', async () => {
  const deep = join(place, 'a', 'b');
  await writeAdapter(deep, contents);
  expect(readdirSync(deep).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
  mkdirSync(join(place, 'empty'));
  await writeAdapter(join(place, 'empty'), contents);
  expect(readdirSync(join(place, 'empty'))).toHaveLength(2);
});

it('puts wide types first, each aligned', async () => {
  const half = {
    ...module,
    path: 'a',
    loraA: tensor([2, 3], 'float16'),
    loraB: tensor([5, 2], 'bfloat16'),
    magnitude: tensor([5]),
  };
  const config = JSON.stringify({ ...CONFIG, target_modules: ['a', 'fc'] });
  await writeAdapter(place, { config, modules: [half, module] });
  const bytes = readFileSync(join(place, 'adapter_model.safetensors'));
  expect((Number(bytes.readBigUInt64LE()) + 8) % 8).toBe(0);
  await using adapter = await openAdapter(place);
  expect([...adapter.modules.values()].map(({ loraA, loraB }) => [loraA.type, loraB.type])).toEqual([
    ['float16', 'bfloat16'],
    ['float32', 'float32'],
  ]);
});

it('does not touch a folder that holds files', async () => {
  mkdirSync(place);
  writeFileSync(join(place, 'precious'), '1');
  await expect(writeAdapter(place, contents)).rejects.toMatchObject({ code: 'exists' });
  expect(readdirSync(place)).toEqual(['precious']);
  expect(siblings()).toEqual(['adapter']);
});

it('does not write over a file', async () => {
  writeFileSync(place, 'precious');
  await expect(writeAdapter(place, contents)).rejects.toMatchObject({ code: 'io' });
  expect(readFileSync(place, 'utf8')).toBe('precious');
  expect(siblings()).toEqual(['adapter']);
});

it('leaves nothing of a write that fails or is stopped', async () => {
  const broken = { ...module, loraB: { ...module.loraB, read: () => Promise.reject(new Error('gone')) } };
  await expect(writeAdapter(place, { ...contents, modules: [broken] })).rejects.toThrow('gone');
  const stopped = { signal: AbortSignal.abort() };
  await expect(writeAdapter(place, contents, stopped)).rejects.toMatchObject({ name: 'AbortError' });
  expect(siblings()).toEqual([]);
});

it.each<[string, AdapterContents]>([
  ['a rank that is not the config’s', { ...contents, config: JSON.stringify({ ...CONFIG, r: 3 }) }],
  ['one module twice', { ...contents, modules: [module, module] }],
  [
    'no magnitude',
    { ...contents, modules: [{ path: 'fc', kind: 'linear', loraA: module.loraA, loraB: module.loraB }] },
  ],
])('refuses %s', async (_, wrong) => {
  await expect(writeAdapter(place, wrong)).rejects.toMatchObject({ code: 'tensors' });
  expect(existsSync(place)).toBe(false);
});
