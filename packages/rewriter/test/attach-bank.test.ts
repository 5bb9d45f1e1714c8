/** Models with a bank: each run of rows gives what PEFT gives with the adapter of its slot. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BANK_INPUTS, BANK_LAYOUT_METADATA, fillBankRow, openAdapter, parseBankLayout } from '@ort-dora/adapters';
import { decodeModel, getMetadata } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { attachBank, type BankOptions, openBankWeights } from '../src/index.js';
import { readNpz, toNumbers } from './support/npz.js';
import { relativeError } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { numbersOf } from './support/tensors.js';

const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), 'fixtures/attach');
const baseOf = (name: string) => join(FIXTURES, 'bases', `${name}.onnx`);
const EXACT_PRODUCTS = { extra: { session: { qdq_matmulnbits_accuracy_level: '1' } } };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bank-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function bankOf(base: string, options: Partial<BankOptions> = {}) {
  const output = join(folder, 'bank.onnx');
  const [report] = await attachBank([{ input: baseOf(base), output }], {
    slots: 3,
    maxRank: 5,
    target: 'cpu',
    ...options,
  });
  const model = decodeModel(new Uint8Array(readFileSync(output)));
  return { output, report: report!, model, layout: parseBankLayout(getMetadata(model, BANK_LAYOUT_METADATA)!, output) };
}

describe.each([
  ['legacy', 'DoraLinearBank'],
  ['dynamo', 'DoraLinearBank'],
  ['dynamo_rows', 'DoraLinearBank'],
  ['legacy_nbits4', 'DoraComposeBank'],
  ['dynamo_qdq4', 'DoraComposeBank'],
  ['dynamo_rows_qdq8', 'DoraComposeBank'],
])('%s', (base, operator) => {
  it('runs an adapter, none, and another one side by side', async () => {
    const { output, report, layout } = await bankOf(base);
    expect(report.modules).toHaveLength(8);
    expect(new Set(report.modules.map((module) => module.operator))).toEqual(new Set([operator]));
    expect(layout.modules.size).toBe(8);

    const { slots, rowElements, gainElements } = layout;
    const bank = new Float32Array(slots * rowElements).fill(0);
    const gains = new Float32Array(slots * gainElements).fill(1);
    await using adapter = await openAdapter(join(FIXTURES, 'adapters', 'dora'));
    await using weights = await openBankWeights(output);
    const slot = 2;
    const row = {
      bank: bank.subarray(slot * rowElements, (slot + 1) * rowElements),
      gains: gains.subarray(slot * gainElements, (slot + 1) * gainElements),
    };
    expect(await fillBankRow(adapter, layout, row, weights.gainOf)).toEqual({ scaling: 2, rank: 4 });

    const arrays = readNpz(join(FIXTURES, `${base}+dora.npz`));
    const x = arrays.get('x')!;
    const [first = 0] = x.dims;
    const feeds = (runs: readonly number[], input: ort.Tensor) => ({
      x: input,
      [BANK_INPUTS.bank]: new ort.Tensor('float32', bank, [slots, rowElements]),
      [BANK_INPUTS.gains]: new ort.Tensor('float32', gains, [slots, gainElements]),
      [BANK_INPUTS.scaling]: new ort.Tensor('float32', Float32Array.of(9, 9, 2), [slots]),
      [BANK_INPUTS.rank]: new ort.Tensor('int32', Int32Array.of(1, 0, 4), [slots]),
      [BANK_INPUTS.slot]: new ort.Tensor('int32', Int32Array.from(runs), [runs.length]),
    });
    const values = Float32Array.from(toNumbers(x));
    const both = new ort.Tensor('float32', Float32Array.of(...values, ...values), [2 * first, ...x.dims.slice(1)]);
    const { y } = await runModel(output, feeds([slot, -1], both), EXACT_PRODUCTS);
    const result = Float64Array.from(numbersOf(y!));
    const half = result.length / 2;

    const reference = toNumbers(arrays.get('y')!);
    const own = relativeError(toNumbers(arrays.get('peft')!), reference);
    expect(relativeError(result.subarray(0, half), reference)).toBeLessThanOrEqual(2 * own + 2 ** -24);

    const plain = await runModel(baseOf(base), { x: new ort.Tensor('float32', values, x.dims) }, EXACT_PRODUCTS);
    expect(relativeError(result.subarray(half), numbersOf(plain.y!))).toBeLessThanOrEqual(2 ** -21);
  });
});

describe('targets', () => {
  it('all linear layers but the head, by default', async () => {
    const { report, layout } = await bankOf('dynamo_tied');
    expect(report.modules.map(({ path }) => path)).not.toContain('lm_head');
    expect(layout.modules.size).toBe(8);
  });

  it('by the ends of their paths, the head too if it is asked for', async () => {
    const { layout } = await bankOf('dynamo_tied', { targets: ['q_proj', 'layers.1.fc', 'lm_head'] });
    expect([...layout.modules.keys()]).toEqual([
      'lm_head',
      'model.layers.0.self_attn.q_proj',
      'model.layers.1.fc',
      'model.layers.1.self_attn.q_proj',
    ]);
  });

  it('a target that is no layer is an error', async () => {
    await expect(bankOf('dynamo', { targets: ['q_proj', 'k_proj', 'proj'] })).rejects.toThrow(
      'no linear layer of this export has a path that ends with k_proj, proj',
    );
  });
});

it('a half-precision model gets a bank of its own type', async () => {
  const { layout, model } = await bankOf('dynamo_float16');
  expect(layout.elementType).toBe('float16');
  expect(model.graph!.input.slice(1).map(({ name, type }) => [name, type!.tensorType!.elemType])).toEqual([
    [BANK_INPUTS.bank, 10],
    [BANK_INPUTS.gains, 1],
    [BANK_INPUTS.scaling, 1],
    [BANK_INPUTS.rank, 6],
    [BANK_INPUTS.slot, 6],
  ]);
});

it('a model with a bank gets no second one', async () => {
  const { output } = await bankOf('dynamo', { targets: ['q_proj'] });
  const again = attachBank([{ input: output, output: join(folder, 'again.onnx') }], { slots: 1, maxRank: 1 });
  await expect(again).rejects.toThrow('it has a bank already');
});

it.each([{ slots: 0 }, { maxRank: 0 }, { slots: 1.5 }])('refuses %o', async (sizes) => {
  await expect(bankOf('dynamo', sizes)).rejects.toThrow(RangeError);
});

it('weights of a model have no gain for a module that the bank has no operator for', async () => {
  const { output } = await bankOf('dynamo', { targets: ['fc'] });
  await using adapter = await openAdapter(join(FIXTURES, 'adapters', 'dora'));
  await using weights = await openBankWeights(output);
  const [module] = [...adapter.modules.values()].filter(({ path }) => path.endsWith('q_proj'));
  await expect(weights.gainOf({ ...module!, magnitude: module!.magnitude! })).rejects.toThrow('has no bank operator');
});
