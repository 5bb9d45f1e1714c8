/**
 * A model with a bank from end to end: room made by `attachBank`, slots filled from PEFT folders, and one batch that mixes
 * them. Each run of rows gets what a model with that adapter alone gives it.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  BANK_INPUTS,
  BANK_LAYOUT_METADATA,
  type BankLayout,
  fillBankRow,
  openAdapter,
  parseBankLayout,
} from '@ort-dora/adapters';
import { opsLibraryPath } from '@ort-dora/custom-ops';
import { getMetadata, openModel } from '@ort-dora/onnx';
import { attachAdapter, attachBank } from '@ort-dora/rewriter';
import { createSession, type Session, type SessionOptions, type TensorData } from '@ort-dora/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const FIXTURES = fileURLToPath(new URL('../../rewriter/test/fixtures/attach/', import.meta.url));
// Of different ranks, one with scalings that differ from module to module, one plain LoRA.
const ADAPTERS = ['dora', 'pattern', 'lora'];
const RUNS = [2, -1, 0, 1, 1, 0, 2, -1];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'bank-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const library = opsLibraryPath();
const ENGINES: readonly (readonly [string, SessionOptions])[] = [
  ['function bodies', { customOps: 'off' }],
  ...(library === undefined ? [] : [['kernels', { customOps: [library] }] as const]),
];
const EXACT_PRODUCTS = { 'session.qdq_matmulnbits_accuracy_level': '1' };

describe.each(['legacy', 'dynamo_rows', 'legacy_nbits4'])('%s', (base) => {
  const original = join(FIXTURES, 'bases', `${base}.onnx`);
  const singles = ADAPTERS.map((adapter) => join(FIXTURES, 'adapters', adapter));
  let withBank: string;
  let layout: BankLayout;
  let bank: Record<string, TensorData>;
  const ofAdapter = (slot: number) => (slot === -1 ? original : join(folder, `${base}+${ADAPTERS[slot]}.onnx`));

  beforeAll(async () => {
    withBank = join(folder, `${base}.onnx`);
    await attachBank([{ input: original, output: withBank }], { slots: ADAPTERS.length, maxRank: 5, target: 'cpu' });
    await using file = await openModel(withBank);
    layout = parseBankLayout(getMetadata(file.model, BANK_LAYOUT_METADATA)!, withBank);
    const { slots, rowElements, gainElements } = layout;
    const [values, gains] = [new Float32Array(slots * rowElements), new Float32Array(slots * gainElements)];
    const [scaling, rank] = [new Float32Array(slots), new Int32Array(slots)];
    for (const [slot, path] of singles.entries()) {
      await using adapter = await openAdapter(path);
      await attachAdapter([{ input: original, output: ofAdapter(slot) }], adapter, { target: 'cpu' });
      await using attached = await openModel(ofAdapter(slot));
      const row = {
        bank: values.subarray(slot * rowElements, (slot + 1) * rowElements),
        gains: gains.subarray(slot * gainElements, (slot + 1) * gainElements),
      };
      const filled = await fillBankRow(adapter, layout, row, async (module) => {
        const gain = attached.model.graph!.initializer.find(({ name }) => name === `${module.path}.dora_gain`);
        return await attached.readFloat32(gain!);
      });
      scaling[slot] = filled.scaling;
      rank[slot] = filled.rank;
    }
    bank = {
      [BANK_INPUTS.bank]: { type: 'float32', data: values, dims: [slots, rowElements] },
      [BANK_INPUTS.gains]: { type: 'float32', data: gains, dims: [slots, gainElements] },
      [BANK_INPUTS.scaling]: { type: 'float32', data: scaling, dims: [slots] },
      [BANK_INPUTS.rank]: { type: 'int32', data: rank, dims: [slots] },
    };
  });

  it.each(ENGINES)('a mixed batch gives each run what its adapter gives alone: %s', async (_, options) => {
    const open = (model: string) => createSession(model, { ...options, configEntries: EXACT_PRODUCTS });
    const session = await open(withBank);
    const ofSlots = new Map<number, Session>();
    for (const slot of new Set(RUNS)) ofSlots.set(slot, await open(ofAdapter(slot)));
    try {
      const run = async (x: TensorData, runs: readonly number[]) => {
        const slot: TensorData = { type: 'int32', data: Int32Array.from(runs), dims: [runs.length] };
        return (await session.run({ x, ...bank, [BANK_INPUTS.slot]: slot })).y as TensorData;
      };
      const x = waves(inputShape(session));
      const mixed = await run(x, RUNS);
      for (const [index, slot] of RUNS.entries()) {
        const part = partOf(x, index);
        const got = partOf(mixed, index);
        const single = (await ofSlots.get(slot)!.run({ x: part })).y as TensorData;
        expect(distance(got, await run(part, [slot])), `run ${index} alone`).toBeLessThan(2e-6);
        expect(distance(got, single), `run ${index}, ${ADAPTERS[slot] ?? 'base'}`).toBeLessThan(2e-6);
        // The adapters do something: another slot would give other numbers.
        const other = await run(part, [slot === 2 ? -1 : slot + 1]);
        expect(distance(got, other)).toBeGreaterThan(1e-2);
      }
    } finally {
      await Promise.all([session, ...ofSlots.values()].map((opened) => opened.dispose()));
    }
  });
});

/** Two rows a run where x has no axis of positions, else one sequence a run. */
function inputShape({ inputs }: Session): readonly number[] {
  const x = inputs.find(({ name }) => name === 'x')!;
  const [, ...rest] = x.isTensor ? x.shape : [];
  const sizes = rest.map((size) => (typeof size === 'number' ? size : 3));
  return [sizes.length === 1 ? 2 * RUNS.length : RUNS.length, ...sizes];
}

function waves(dims: readonly number[]): TensorData<'float32'> {
  const count = dims.reduce((product, size) => product * size, 1);
  return { type: 'float32', data: Float32Array.from({ length: count }, (_, i) => Math.sin(i * 1.7 + (i % 7))), dims };
}

/** One of as many equal parts of the first axis as there are runs. */
function partOf({ data, dims }: TensorData, index: number): TensorData<'float32'> {
  const length = data.length / RUNS.length;
  const part = (data as Float32Array).slice(index * length, (index + 1) * length);
  return { type: 'float32', data: part, dims: [dims[0]! / RUNS.length, ...dims.slice(1)] };
}

/** Largest difference, relative to the largest value. */
function distance(got: TensorData, expected: TensorData): number {
  const [a, b] = [got.data as Float32Array, expected.data as Float32Array];
  expect(a).toHaveLength(b.length);
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0) / largest;
}
