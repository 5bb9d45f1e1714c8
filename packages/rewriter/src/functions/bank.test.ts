import { encodeModel, makeTensor } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { matMul, relativeError, transposed } from '../../test/support/numbers.js';
import { random, runOperator, type TestValue, TOLERANCE, TYPES, value } from '../../test/support/operators.js';
import { optimizedOperators } from '../../test/support/ort.js';
import { DATA_TYPE } from '../tensors/elements.js';
import type { BankForm } from './form.js';
import { type BankPlace, makeOperatorModel, operatorFunction } from './function.js';

const [inputs, out, slots] = [10, 6, 4];
// Other modules' adapters lie before, between and behind.
const place: BankPlace = { offsetA: 7, offsetB: 7 + 3 * inputs + 5, offsetG: 2, maxRank: 3 };
const [bankSize, gainsSize] = [place.offsetB + out * place.maxRank + 4, place.offsetG + out + 3];
const ranks = [3, 1, 0, 2];
const scalings = [0.75, -2, 5, 1.5];

const LINEAR: BankForm = { op: 'DoraLinearBank', base: 'float32', adapter: 'float32', transW: 1, bias: true };

describe.each(TYPES)('base %s, bank %s', (base, adapter) => {
  for (const transW of [0, 1] as const) {
    for (const bias of [true, false]) {
      it(`DoraLinearBank, transW ${transW}, ${bias ? 'with' : 'without'} bias`, async () => {
        await check({ op: 'DoraLinearBank', base, adapter, transW, bias }, [2, 6, inputs], [2, 0, -1, 3]);
      });
    }
  }
  it.each(['none', 'separate', 'inBase'] as const)('DoraComposeBank, bias %s', async (bias) => {
    await check({ op: 'DoraComposeBank', base, adapter, bias }, [2, 6, inputs], [2, 0, -1, 3]);
  });
});

describe('runs of rows', () => {
  it.each([
    ['one run', [5, inputs], [1]],
    ['a run a row', [4, inputs], [3, 1, 1, 0]],
    ['base only', [4, inputs], [-1, -1]],
    ['no rows', [0, inputs], [1, 2]],
    ['runs across the batch', [3, 1, 2, inputs], [3, 0, 3]],
  ])('%s', async (_, dims, slot) => {
    await check(LINEAR, dims, slot);
    await check({ op: 'DoraComposeBank', base: 'float32', adapter: 'float32', bias: 'separate' }, dims, slot);
  });

  it('keeps base only runs clear of what slot 0 holds', async () => {
    const feeds = data(LINEAR, [2, inputs], [-1, 1]);
    feeds.bank!.values.fill(Number.NaN, 0, bankSize);
    feeds.gains!.values.fill(Number.NaN, 0, gainsSize);
    const { y } = await runOperator(LINEAR, { place }, feeds);
    expect(relativeError(y!, expected(LINEAR, feeds, [-1, 1]))).toBeLessThan(2e-6);
  });

  it.each([
    ['a slot that the bank does not have', [2, inputs], [slots]],
    ['runs that do not divide the rows', [5, inputs], [0, 1]],
  ])('refuses %s', async (_, dims, slot) => {
    await expect(runOperator(LINEAR, { place }, data(LINEAR, dims, slot))).rejects.toThrow();
  });
});

describe('opsets', () => {
  it.each([12, 13, 15, 17, 18, 21])('is valid at opset %i', async (opset) => {
    for (const form of [
      LINEAR,
      { op: 'DoraComposeBank', base: 'float32', adapter: 'float32', bias: 'inBase' },
    ] as const) {
      await check(form, [2, 2, inputs], [1, 3], opset);
    }
  });

  it('says that offsets cannot be referred to before opset 12', () => {
    expect(() => operatorFunction(LINEAR, { opset: 11, target: 'cuda' })).toThrow(
      'opset: expected 12 or newer for the function body of DoraLinearBank, got 11',
    );
  });
});

it('is inlined into the products, without a transpose and with the shapes of weights folded', async () => {
  const { W, bias } = data(LINEAR, [2, inputs], [0]);
  const initializers = Object.entries({ W: W!, bias: bias! }).map(([name, { dims, type, bytes }]) =>
    makeTensor(name, DATA_TYPE[type], dims, bytes),
  );
  const model = makeOperatorModel(LINEAR, { opset: 20, target: 'cuda', place, initializers });
  const { MatMul, FusedMatMul, Transpose, Slice, Shape } = await optimizedOperators(encodeModel(model));
  // The shapes that are left are those of the slots and of x.
  expect({ MatMul, FusedMatMul, Transpose, Slice, Shape }).toEqual({ MatMul: 1, FusedMatMul: 2, Slice: 3, Shape: 2 });
});

async function check(form: BankForm, dims: readonly number[], slot: readonly number[], opset?: number): Promise<void> {
  const feeds = data(form, dims, slot);
  const { y } = await runOperator(form, { place }, feeds, opset);
  expect(relativeError(y!, expected(form, feeds, slot))).toBeLessThan(TOLERANCE[form.base]);
}

type Feeds = Record<string, Pick<TestValue, 'dims' | 'values' | 'type' | 'bytes'>>;

/** Inputs for `dims` of x; each adapter has its rank, and zeros beyond it. */
function data(form: BankForm, dims: readonly number[], slot: readonly number[]): Feeds {
  const { base, adapter } = form;
  const rows = dims.slice(0, -1).reduce((count, size) => count * size, 1);
  const bank = random(slots * bankSize, 2);
  for (const [index, rank] of ranks.entries()) {
    for (let j = rank; j < place.maxRank; j++) {
      const row = index * bankSize;
      bank.fill(0, row + place.offsetA + j * inputs, row + place.offsetA + (j + 1) * inputs);
      for (let n = 0; n < out; n++) bank[row + place.offsetB + n * place.maxRank + j] = 0;
    }
  }
  const integers = (values: readonly number[]) => value(values, [values.length], 'float32');
  return {
    x: value(random(rows * inputs, 1), dims, base),
    ...(form.op === 'DoraLinearBank'
      ? { W: value(random(out * inputs, 3), [out, inputs], base) }
      : { base: value(random(rows * out, 3), [...dims.slice(0, -1), out], base) }),
    bank: value(bank, [slots, bankSize], adapter),
    gains: value(
      random(slots * gainsSize, 4).map((v) => 1 + 0.2 * v),
      [slots, gainsSize],
      'float32',
    ),
    scaling: value(scalings, [slots], 'float32'),
    rank: integers(ranks),
    slot: integers(slot),
    ...(form.bias === false || form.bias === 'none' ? {} : { bias: value(random(out, 6), [out], base) }),
  };
}

function expected(form: BankForm, feeds: Feeds, slot: readonly number[]): Float64Array {
  const rows = feeds.x!.values.length / inputs;
  const y = new Float64Array(rows * out);
  for (let row = 0; row < rows; row++) {
    const x = feeds.x!.values.subarray(row * inputs, (row + 1) * inputs);
    const base =
      form.op === 'DoraLinearBank'
        ? matMul(x, transposed(feeds.W!.values, out, inputs), 1, inputs, out)
        : feeds.base!.values.subarray(row * out, (row + 1) * out);
    const chosen = slot[Math.floor(row / (rows / slot.length))]!;
    for (let n = 0; n < out; n++) {
      const bias = feeds.bias?.values[n] ?? 0;
      const added = form.bias === 'inBase' ? 0 : bias;
      if (chosen === -1) {
        y[row * out + n] = base[n]! + added;
        continue;
      }
      const a = feeds.bank!.values.subarray(chosen * bankSize + place.offsetA);
      const b = feeds.bank!.values.subarray(chosen * bankSize + place.offsetB);
      const g = feeds.gains!.values[chosen * gainsSize + place.offsetG + n]!;
      let lora = 0;
      for (let j = 0; j < place.maxRank; j++) {
        let reduced = 0;
        for (let k = 0; k < inputs; k++) reduced += x[k]! * a[j * inputs + k]!;
        lora += reduced * b[n * place.maxRank + j]!;
      }
      const unbiased = form.bias === 'inBase' ? base[n]! - bias : base[n]!;
      y[row * out + n] = g * (unbiased + scalings[chosen]! * lora) + bias;
    }
  }
  return y;
}
