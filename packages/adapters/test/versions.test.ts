// Adapters that PEFT 0.9 to 0.21 saved, against what PEFT had in memory (fixtures/make.py).
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AdapterTensor, openAdapter, writeAdapter } from '../src/index.js';
import { floats } from './support/floats.js';
import { scratchFolder } from './support/scratch.js';

interface ExpectedModule {
  readonly kind: string;
  readonly rank: number;
  readonly scaling: number;
  readonly tensors: Readonly<Record<string, { readonly type: string; readonly dims: number[]; readonly sum: number }>>;
}

const fixtures = join(import.meta.dirname, 'fixtures');
const versions = readdirSync(fixtures).filter((name) => name.startsWith('peft-'));
const scratch = scratchFolder();

/** Cases whose tensors replace parameters of the base. */
const REPLACING: Readonly<Record<string, readonly string[]>> = {
  modules_to_save: ['head.bias', 'head.weight'],
  bias_all: ['head.bias', 'layers.0.fc1.base_layer.bias'],
};

describe.each(versions)('%s', (version) => {
  const expected: Record<string, { modules: Record<string, ExpectedModule> }> = JSON.parse(
    readFileSync(join(fixtures, version, 'expected.json'), 'utf8'),
  );

  it.each(Object.entries(expected))('%s: modules, scaling and tensors are PEFT’s', async (name, { modules }) => {
    const folder = join(fixtures, version, name);
    await using adapter = await openAdapter(folder, name in REPLACING ? { replacements: 'allow' } : {});
    expect([...adapter.modules.keys()]).toEqual(Object.keys(modules).sort());
    for (const [path, wanted] of Object.entries(modules)) {
      const { kind, rank, scaling, loraA, loraB, magnitude } = adapter.modules.get(path)!;
      expect({ kind, rank, scaling }).toEqual({ kind: wanted.kind, rank: wanted.rank, scaling: wanted.scaling });
      const found = { loraA, loraB, ...(magnitude && { magnitude }) };
      expect(Object.keys(found)).toEqual(Object.keys(wanted.tensors));
      for (const [part, { type, dims, sum }] of Object.entries(wanted.tensors)) {
        const tensor = found[part as keyof typeof found] as AdapterTensor;
        expect([tensor.type, tensor.dims], `${path} ${part}`).toEqual([type, dims]);
        expect((await floats(tensor)).reduce((total, value) => total + value, 0)).toBeCloseTo(sum, 10);
      }
    }
    expect([...adapter.replacements.keys()].sort()).toEqual(REPLACING[name] ?? []);
    const old = !('corda_config' in adapter.config.json);
    const warned = name === 'pissa' ? ['init_lora_weights'] : name === 'patterns' && old ? ['rank_pattern'] : [];
    expect(adapter.warnings.map((warning) => warning.split(' ')[0])).toEqual(warned);
  });

  it.each(Object.keys(expected).filter((name) => name in REPLACING))('%s: refused unless allowed', async (name) => {
    const refused = openAdapter(join(fixtures, version, name));
    await expect(refused).rejects.toMatchObject({ code: 'unsupported' });
    await expect(refused).rejects.toThrow(`${REPLACING[name]!.join(', ')}); only adapters`);
  });

  it.each(Object.keys(expected).filter((name) => !(name in REPLACING) && name !== 'state_dict'))(
    '%s: written byte for byte as PEFT did',
    async (name) => {
      const folder = join(fixtures, version, name);
      const copy = join(scratch(), `${version}-${name}`);
      await using adapter = await openAdapter(folder);
      await writeAdapter(copy, { config: adapter.config.text, modules: adapter.modules.values() });
      for (const file of readdirSync(folder)) {
        expect(readFileSync(join(copy, file)).equals(readFileSync(join(folder, file))), file).toBe(true);
      }
    },
  );
});
