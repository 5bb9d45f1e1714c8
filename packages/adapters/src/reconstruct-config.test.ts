import { expect, it } from 'vitest';
import { parseAdapterConfig } from './config.js';
import { groupTensors } from './modules.js';
import { PathPatterns } from './patterns.js';
import { reconstructConfig } from './reconstruct-config.js';

const module = (path: string, rank: number, scaling: number) => ({ path, rank, scaling });

/** What a reader makes of the config. */
function readBack(modules: readonly ReturnType<typeof module>[]) {
  const config = parseAdapterConfig(reconstructConfig(modules, { useDora: false }));
  const tensor = (name: string, dims: readonly number[]) => ({
    name,
    type: 'float32' as const,
    dims,
    byteLength: 0,
    read: async () => new Uint8Array(),
  });
  const tensors = modules.flatMap(({ path, rank }) => [
    [`${path}.lora_A.weight`, tensor('A', [rank, 8])] as const,
    [`${path}.lora_B.weight`, tensor('B', [8, rank])] as const,
  ]);
  return { config, ...groupTensors(new Map(tensors), config, new PathPatterns(), 'file') };
}

it('has the most common rank and alpha, and patterns for the others', () => {
  const { config } = readBack([module('a.q', 8, 2), module('a.k', 8, 2), module('a.v', 4, 4), module('b.q', 8, 0.5)]);
  expect(config).toMatchObject({ rank: 8, alpha: 16, useRslora: false, targetModules: ['a.k', 'a.q', 'a.v', 'b.q'] });
  expect(config.rankPattern).toEqual(new Map([['^a\\.v', 4]]));
  expect(config.alphaPattern).toEqual(new Map([['^b\\.q', 4]]));
});

it.each<[string, ReturnType<typeof module>[]]>([
  ['one module', [module('fc', 3, 2 / 3)]],
  ['rsLoRA', [module('fc', 8, 16 / Math.sqrt(8))]],
  ['negative and zero scaling', [module('a', 4, -1), module('b', 4, 0), module('c', 4, 1)]],
  ['scaling that is no ratio of whole numbers', [module('a', 7, Math.fround(0.123456789))]],
  ['paths that end another', [module('fc', 2, 1), module('decoder.fc', 4, 3), module('xfc', 8, 2)]],
  ['paths with what regular expressions use', [module('a+b.c', 2, 1), module('aab.c', 4, 1), module('a.(c)', 8, 1)]],
])('is read back as it was: %s', (_, modules) => {
  const found = readBack(modules);
  for (const { path, rank, scaling } of modules) {
    expect(found.modules.get(path)).toMatchObject({ rank });
    expect(Math.fround(found.modules.get(path)!.scaling)).toBe(Math.fround(scaling));
  }
  expect(found.warnings).toEqual([]);
});
