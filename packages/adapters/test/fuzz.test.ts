// Damaged folders: an adapter that can be read, or an AdapterError; never another error, a hang, or much memory.
// ORT_DORA_FUZZ=100000 runs that many rounds.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AdapterError, openAdapter } from '../src/index.js';
import { writeFolder } from './support/adapter.js';
import { safetensors } from './support/safetensors.js';
import { scratchFolder } from './support/scratch.js';

const rounds = Number(process.env.ORT_DORA_FUZZ ?? 250);
const scratch = scratchFolder();
const fixture = join(import.meta.dirname, 'fixtures/peft-0.21.2/patterns');
const config = readFileSync(join(fixture, 'adapter_config.json'));
const tensors = readFileSync(join(fixture, 'adapter_model.safetensors'));
const headerBytes = Number(tensors.readBigUInt64LE());

/** Whole numbers below a bound, the same ones for the same seed. */
function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) % below;
  };
}

/** Reads every tensor of a folder; returns the code of the error that ended it. */
async function attempt(folder: string): Promise<string> {
  try {
    await using adapter = await openAdapter(folder, { replacements: 'allow' });
    for (const { loraA, loraB, magnitude } of adapter.modules.values()) {
      for (const tensor of [loraA, loraB, magnitude])
        expect(await tensor?.read()).toHaveLength(tensor?.byteLength ?? 0);
    }
    return 'read';
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error;
    return error.code;
  }
}

function damage(bytes: Buffer, random: (below: number) => number, within: number): Buffer {
  let damaged = Buffer.from(bytes);
  for (let edits = 1 + random(4); edits > 0; edits--) {
    const at = random(Math.min(within, damaged.length || 1));
    const kind = random(5);
    if (kind === 0) damaged[at] = random(256);
    else if (kind === 1) damaged[at] = (damaged[at] ?? 0) ^ (1 << random(8));
    else if (kind === 2) damaged = damaged.subarray(0, at);
    else if (kind === 3) damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(at + 1 + random(20))]);
    else damaged = Buffer.concat([damaged.subarray(0, at), damaged.subarray(random(at + 1), at), damaged.subarray(at)]);
  }
  return damaged;
}

it('bytes of the safetensors file', async () => {
  const folder = writeFolder(join(scratch(), 'bytes'));
  writeFileSync(join(folder, 'adapter_config.json'), config);
  const outcomes = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    writeFileSync(join(folder, 'adapter_model.safetensors'), damage(tensors, seeded(round), headerBytes + 8));
    outcomes.add(await attempt(folder));
  }
  expect(outcomes).toContain('malformed');
}, 600_000);

it('bytes of the config', async () => {
  const folder = writeFolder(join(scratch(), 'config'));
  writeFileSync(join(folder, 'adapter_model.safetensors'), tensors);
  const outcomes = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    writeFileSync(join(folder, 'adapter_config.json'), damage(config, seeded(round), config.length));
    outcomes.add(await attempt(folder));
  }
  expect([...outcomes].sort()).toEqual(expect.arrayContaining(['config', 'read']));
}, 600_000);

it('structure of the header', async () => {
  const folder = writeFolder(join(scratch(), 'structure'));
  writeFileSync(join(folder, 'adapter_config.json'), config);
  const header: Record<string, unknown> = JSON.parse(tensors.toString('utf8', 8, 8 + headerBytes));
  const values = [-1, 0, 1, 2.5, 2 ** 53, 1e308, null, true, '', 'F16', 'BF16', 'F64', [], {}, [0], [[]], '__proto__'];
  const outcomes = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    const random = seeded(round);
    const copy = structuredClone(header);
    const pick = <T>(items: readonly T[]) => items[random(items.length)]!;
    for (let edits = 1 + random(3); edits > 0; edits--) {
      const name = pick(Object.keys(copy));
      const tensor = copy[name] as Record<string, unknown[]>;
      const kind = random(4);
      if (kind === 0) copy[name] = pick(values);
      else if (kind === 1) delete copy[name];
      else if (kind === 2) copy[`${name}${pick(['.weight', '.default', '_A', '.', '\0'])}`] = tensor;
      else if (tensor !== null && typeof tensor === 'object') {
        const field = pick(['dtype', 'shape', 'data_offsets', 'other']);
        const list = tensor[field];
        if (Array.isArray(list) && random(2) === 0) list[random(list.length + 1)] = pick(values);
        else Object.assign(tensor, { [field]: pick(values) });
      }
    }
    const bytes = safetensors(copy, tensors.subarray(8 + headerBytes));
    writeFileSync(join(folder, 'adapter_model.safetensors'), bytes);
    outcomes.add(await attempt(folder));
  }
  expect([...outcomes].sort()).toEqual(expect.arrayContaining(['dtype', 'malformed']));
}, 600_000);
