// An adapter as a row of a bank.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type AdapterContents,
  type BankLayout,
  fillBankRow,
  openAdapter,
  planBank,
  type TensorContents,
  writeAdapter,
} from '../src/index.js';
import { scratchFolder } from './support/scratch.js';

const scratch = scratchFolder();
let folders = 0;

const float32 = (dims: readonly number[], ...values: number[]): TensorContents => {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  const read = async (start = 0, end = bytes.length) => bytes.subarray(start, end);
  return { type: 'float32', dims, byteLength: bytes.length, read };
};
const up = {
  path: 'layers.0.up',
  kind: 'linear' as const,
  loraA: float32([2, 3], 1, 2, 3, 4, 5, 6),
  loraB: float32([4, 2], 1, 2, 3, 4, 5, 6, 7, 8),
  magnitude: float32([4], 1, 2, 3, 4),
};
const down = {
  path: 'layers.0.down',
  kind: 'linear' as const,
  loraA: float32([2, 4], 1, 2, 3, 4, 5, 6, 7, 8),
  loraB: float32([3, 2], 1, 2, 3, 4, 5, 6),
  magnitude: float32([3], 1, 2, 3),
};

const layout = planBank(
  new Map([
    [up.path, { inFeatures: 3, outFeatures: 4 }],
    [down.path, { inFeatures: 4, outFeatures: 3 }],
    ['layers.1.up', { inFeatures: 3, outFeatures: 4 }],
  ]),
  { slots: 2, maxRank: 3, elementType: 'float32' },
);

async function open(modules: AdapterContents['modules'], config: object = {}) {
  const folder = join(scratch(), String(folders++));
  const whole = { peft_type: 'LORA', r: 2, lora_alpha: 4, use_dora: true, target_modules: ['up', 'down'], ...config };
  await writeAdapter(folder, { config: JSON.stringify(whole), modules });
  return await openAdapter(folder);
}

/** A row with something left in it from before. */
function row({ rowElements, gainElements, elementType }: BankLayout = layout) {
  const bank = elementType === 'float32' ? new Float32Array(rowElements) : new Uint16Array(rowElements);
  return { bank: bank.fill(99), gains: new Float32Array(gainElements).fill(99) };
}

const slice = (values: ArrayLike<number>, start: number, length: number) =>
  Array.from(values).slice(start, start + length);

describe('fillBankRow', () => {
  it('pads A and B to the largest rank, and clears what the adapter does not have', async () => {
    await using adapter = await open([up]);
    const filled = row();
    const asked: string[] = [];
    const slot = await fillBankRow(adapter, layout, filled, async ({ path, scaling, magnitude }) => {
      asked.push(`${path} ${scaling} ${magnitude.dims}`);
      return Float32Array.of(0.5, 1.5, 2.5, 3.5);
    });
    expect(slot).toEqual({ scaling: 2, rank: 2 });
    expect(asked).toEqual(['layers.0.up 2 4']);
    const place = layout.modules.get(up.path)!;
    expect(slice(filled.bank, place.offsetA, 9)).toEqual([1, 2, 3, 4, 5, 6, 0, 0, 0]);
    expect(slice(filled.bank, place.offsetB, 12)).toEqual([1, 2, 0, 3, 4, 0, 5, 6, 0, 7, 8, 0]);
    expect(slice(filled.gains, place.offsetG, 4)).toEqual([0.5, 1.5, 2.5, 3.5]);
    const sum = Array.from(filled.bank).reduce((total, value) => total + value, 0);
    expect(sum).toBe(21 + 36);
    expect(filled.gains.filter((g) => g !== 1)).toHaveLength(4);
  });

  it('gives plain LoRA gains of one', async () => {
    const { magnitude: _, ...plain } = up;
    await using adapter = await open([plain], { use_dora: false });
    const filled = row();
    await fillBankRow(adapter, layout, filled, async () => expect.fail('nothing to compute'));
    expect(new Set(filled.gains)).toEqual(new Set([1]));
  });

  it('puts what a scaling differs from the common one into B', async () => {
    const third = { ...up, path: 'layers.1.up' };
    await using adapter = await open([up, down, third], { alpha_pattern: { down: 3 } });
    const filled = row();
    const { scaling } = await fillBankRow(
      adapter,
      layout,
      filled,
      async ({ outFeatures }) => new Float32Array(outFeatures),
    );
    expect(scaling).toBe(2);
    expect(slice(filled.bank, layout.modules.get(down.path)!.offsetB, 9)).toEqual([
      0.75, 1.5, 0, 2.25, 3, 0, 3.75, 4.5, 0,
    ]);
    expect(slice(filled.bank, layout.modules.get(up.path)!.offsetB, 3)).toEqual([1, 2, 0]);
  });

  it.each(['model', 'base'])('finds modules whose paths begin elsewhere: in the %s', async (longer) => {
    const prefix = 'model.language_model.';
    const known = longer === 'model' ? layout : prefixed(prefix);
    const module = longer === 'model' ? { ...up, path: `${prefix}${up.path}` } : up;
    await using adapter = await open([module]);
    const filled = row();
    await fillBankRow(adapter, known, filled, async () => new Float32Array(4));
    expect(slice(filled.bank, layout.modules.get(up.path)!.offsetA, 3)).toEqual([1, 2, 3]);
  });

  it('refuses paths that could be several, and two that are one', async () => {
    const gainOf = async () => new Float32Array(4);
    await using short = await open([{ ...up, path: 'up' }]);
    await expect(fillBankRow(short, layout, row(), gainOf)).rejects.toThrow('room for 2 modules that up may be');
    await using two = await open([up, { ...up, path: `model.${up.path}` }]);
    await expect(fillBankRow(two, layout, row(), gainOf)).rejects.toThrow('and layers.0.up are one module of it');
  });

  it('takes scalings of zero', async () => {
    await using zero = await open([up, down], { lora_alpha: 0 });
    const gainOf = async ({ outFeatures }: { readonly outFeatures: number }) => new Float32Array(outFeatures);
    expect(await fillBankRow(zero, layout, row(), gainOf)).toEqual({ scaling: 0, rank: 2 });
    await using some = await open([up, down, { ...up, path: 'layers.1.up' }], {
      lora_alpha: 0,
      alpha_pattern: { down: 4 },
    });
    const filled = row();
    expect(await fillBankRow(some, layout, filled, gainOf)).toEqual({ scaling: 2, rank: 2 });
    expect(new Set(slice(filled.bank, layout.modules.get(up.path)!.offsetB, 12))).toEqual(new Set([0]));
  });

  it.each(['float16', 'bfloat16'] as const)('rounds to %s once', async (elementType) => {
    const { magnitude: _, ...plain } = { ...up, loraA: float32([2, 3], 1.0048828125 + 2 ** -20, 2, 3, 4, 5, -6) };
    await using adapter = await open([plain], { use_dora: false });
    const half = planBank(layout.modules, { ...layout, elementType });
    const filled = row(half);
    await fillBankRow(adapter, half, filled, async () => expect.fail('nothing to compute'));
    const first = elementType === 'float16' ? 0x3c05 : 0x3f81;
    const [two, minusSix] = elementType === 'float16' ? [0x4000, 0xc600] : [0x4000, 0xc0c0];
    const stored = slice(filled.bank, half.modules.get(up.path)!.offsetA, 9);
    expect([stored[0], stored[1], stored[5], stored[6]]).toEqual([first, two, minusSix, 0]);
  });

  it.each<[string, Parameters<typeof open>, Partial<BankLayout>, string]>([
    ['a rank above the largest', [[up]], { maxRank: 1 }, 'layers.0.up has rank 2 and room for 1'],
    ['a module that the layout lacks', [[{ ...up, path: 'head' }]], {}, 'it has no room for head'],
    ['another shape', [[{ ...up, path: down.path }]], {}, 'layers.0.down is [4, 3] and has room for [3, 4]'],
    ['another kind', [[{ ...up, kind: 'embedding' }]], {}, 'layers.0.up is of kind embedding'],
  ])('refuses %s, and leaves the row as it was', async (_, contents, change, message) => {
    await using adapter = await open(...contents);
    const changed = planBank(layout.modules, { ...layout, ...change });
    const filled = row(changed);
    const filling = fillBankRow(adapter, changed, filled, async () => expect.fail('nothing to compute'));
    await expect(filling).rejects.toMatchObject({ code: 'bank', message: expect.stringContaining(message) });
    expect(new Set(filled.bank)).toEqual(new Set([99]));
  });

  it('refuses numbers that the element type does not have', async () => {
    const { magnitude: _, ...plain } = { ...up, loraB: float32([4, 2], 1, 2, 3, 70000, 5, 6, 7, 8) };
    await using adapter = await open([plain], { use_dora: false });
    const half = planBank(layout.modules, { ...layout, elementType: 'float16' });
    const filling = fillBankRow(adapter, half, row(half), async () => expect.fail('nothing to compute'));
    await expect(filling).rejects.toThrow('layers.0.up needs 70000, which float16 does not have');
  });

  it('refuses rows that are not of the layout, gains that are not of the module, and stops when told to', async () => {
    await using adapter = await open([up]);
    const gainOf = async () => new Float32Array(4);
    const wrong = { ...row(), bank: new Uint16Array(layout.rowElements) };
    await expect(fillBankRow(adapter, layout, wrong, gainOf)).rejects.toThrow('row: expected 384 elements of float32');
    await expect(fillBankRow(adapter, layout, row(), async () => new Float32Array(5))).rejects.toThrow(
      'gainOf gave 5 gains',
    );
    const signal = AbortSignal.abort();
    await expect(fillBankRow(adapter, layout, row(), gainOf, { signal })).rejects.toThrow('aborted');
  });
});

function prefixed(prefix: string): BankLayout {
  return { ...layout, modules: new Map([...layout.modules].map(([path, place]) => [`${prefix}${path}`, place])) };
}
