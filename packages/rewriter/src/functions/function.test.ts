import { encodeModel, makeTensor } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { matMul, relativeError, transposed } from '../../test/support/numbers.js';
import { random, runOperator, type TestValue, TOLERANCE, TYPES, value } from '../../test/support/operators.js';
import { optimizedOperators } from '../../test/support/ort.js';
import { DATA_TYPE } from '../tensors/elements.js';
import type { FloatType, OperatorForm, Transposed } from './form.js';
import { makeOperatorModel, operatorFunction } from './function.js';

const OPSETS = [11, 12, 13, 17, 18, 21];
const FLAGS: readonly Transposed[] = [0, 1];
const LAYOUTS = FLAGS.flatMap((transW) =>
  FLAGS.flatMap((transA) => FLAGS.map((transB) => ({ transW, transA, transB }))),
);

const out = 6;
const inputs = 10;
const rank = 3;
const rows = 4;
const scaling = 0.75;

describe('DoraLinear', () => {
  for (const [base, adapter] of TYPES) {
    for (const layout of LAYOUTS) {
      for (const bias of [true, false]) {
        const form: OperatorForm = { op: 'DoraLinear', base, adapter, bias, ...layout };
        it(`${base} ${adapter} ${JSON.stringify(layout)} ${bias ? 'with' : 'without'} bias`, async () => {
          const { x, w, a, b, g, bias: c } = data(base, adapter);
          const y = await run(form, { x, W: w, A: a, B: b, g, ...(bias ? { bias: c } : {}) });
          const plain = matMul(x.values, transposed(w.values, out, inputs), rows, inputs, out);
          const reduced = matMul(x.values, transposed(a.values, rank, inputs), rows, inputs, rank);
          const lora = matMul(reduced, transposed(b.values, out, rank), rows, rank, out);
          const expected = plain.map((value, index) => {
            const channel = index % out;
            return g.values[channel]! * (value + scaling * lora[index]!) + (bias ? c.values[channel]! : 0);
          });
          expect(relativeError(y.y!, expected)).toBeLessThan(TOLERANCE[base]);
        });
      }
    }
  }

  it.each(OPSETS)('is valid at opset %i', async (opset) => {
    const form: OperatorForm = {
      op: 'DoraLinear',
      base: 'float32',
      adapter: 'float32',
      bias: true,
      transW: 0,
      transA: 0,
      transB: 0,
    };
    const { x, w, a, b, g, bias } = data('float32', 'float32');
    const at = await run(form, { x, W: w, A: a, B: b, g, bias }, opset);
    const newest = await run(form, { x, W: w, A: a, B: b, g, bias }, 21);
    expect(relativeError(at.y!, newest.y!)).toBeLessThan(1e-6);
  });

  it('works with rank 0 and without rows', async () => {
    const form: OperatorForm = {
      op: 'DoraLinear',
      base: 'float32',
      adapter: 'float32',
      bias: false,
      transW: 0,
      transA: 0,
      transB: 0,
    };
    const { x, w, g } = data('float32', 'float32');
    const a = value([], [0, inputs], 'float32');
    const b = value([], [out, 0], 'float32');
    const y = await run(form, { x, W: w, A: a, B: b, g });
    const plain = matMul(x.values, transposed(w.values, out, inputs), rows, inputs, out);
    expect(
      relativeError(
        y.y!,
        plain.map((v, index) => v * g.values[index % out]!),
      ),
    ).toBeLessThan(2e-6);
    const empty = await run(form, { x: value([], [0, inputs], 'float32'), W: w, A: a, B: b, g });
    expect(empty.y).toHaveLength(0);
  });

  it.each([
    ['float32', 'float32', { MatMul: 3, Add: 2, Mul: 1 }],
    ['float16', 'float32', { MatMul: 3, Add: 2, Mul: 1, Cast: 3 }],
  ] as const)('leaves %s base, %s adapters few nodes after inlining', async (base, adapter, expected) => {
    const form: OperatorForm = {
      op: 'DoraLinear',
      base,
      adapter,
      bias: true,
      transW: 0,
      transA: 0,
      transB: 0,
    };
    const { w, a, b, g, bias } = data(base, adapter);
    const stored = { W: w, A: a, B: b, g, bias };
    const initializers = Object.entries(stored).map(([name, { dims, type, bytes }]) =>
      makeTensor(name, DATA_TYPE[type], dims, bytes),
    );
    const model = makeOperatorModel(form, { opset: 20, target: 'cuda', scaling, initializers });
    expect(await optimizedOperators(model)).toEqual(expected);
  });
});

describe('DoraScale', () => {
  for (const [weight, adapter, magnitude] of [
    ['float32', 'float32', 'float32'],
    ['float16', 'float32', 'float32'],
    ['float16', 'float16', 'float16'],
    ['bfloat16', 'float32', 'bfloat16'],
  ] as const) {
    it.each(LAYOUTS)(`${weight} ${adapter} ${magnitude} %o`, async (layout) => {
      const form: OperatorForm = { op: 'DoraScale', weight, adapter, magnitude, ...layout };
      const { w, a, b } = data(weight, adapter);
      const m = value(random(out, 9), [out], magnitude);
      const { g } = await run(form, { W: w, A: a, B: b, m });
      const delta = matMul(b.values, a.values, out, rank, inputs);
      const expected = m.values.map((magnitudeValue, row) => {
        let square = 0;
        for (let column = 0; column < inputs; column++) {
          const index = row * inputs + column;
          square += (w.values[index]! + scaling * delta[index]!) ** 2;
        }
        return magnitudeValue / Math.sqrt(square);
      });
      expect(relativeError(g!, expected)).toBeLessThan(1e-6);
    });
  }

  it.each(OPSETS)('is valid at opset %i', async (opset) => {
    const form: OperatorForm = {
      op: 'DoraScale',
      weight: 'float32',
      adapter: 'float32',
      magnitude: 'float32',
      transW: 1,
      transA: 0,
      transB: 1,
    };
    const { w, a, b } = data('float32', 'float32');
    const m = value(random(out, 9), [out], 'float32');
    const at = await run(form, { W: w, A: a, B: b, m }, opset);
    const newest = await run(form, { W: w, A: a, B: b, m }, 21);
    expect(relativeError(at.g!, newest.g!)).toBeLessThan(1e-6);
  });
});

describe('DoraCompose', () => {
  const channelForms = [
    { channels: { axis: -1 } as const, dims: [2, rows, out], channelOf: (index: number) => index % out },
    ...([3, 4, 5] as const).map((dimensions) => ({
      channels: { axis: 1 as const, rank: dimensions },
      dims: [2, out, ...Array<number>(dimensions - 2).fill(2)],
      channelOf: (index: number) => Math.floor(index / 2 ** (dimensions - 2)) % out,
    })),
  ];
  for (const [base, lora] of TYPES) {
    for (const { channels, dims, channelOf } of channelForms) {
      it.each(['none', 'separate', 'inBase'] as const)(
        `${base} ${lora} ${JSON.stringify(channels)} bias %s`,
        async (bias) => {
          const form: OperatorForm = { op: 'DoraCompose', base, lora, bias, channels };
          const count = dims.reduce((product, dim) => product * dim, 1);
          const y0 = value(random(count, 1), dims, base);
          const l = value(random(count, 2), dims, lora);
          const g = value(
            random(out, 3).map((v) => 1 + 0.1 * v),
            [out],
            'float32',
          );
          const c = value(random(out, 4), [out], base);
          const { y } = await run(form, { base: y0, lora: l, g, ...(bias === 'none' ? {} : { bias: c }) });
          const expected = y0.values.map((v, index) => {
            const gain = g.values[channelOf(index)]!;
            const shift = c.values[channelOf(index)]!;
            const adapted = scaling * l.values[index]!;
            if (bias === 'inBase') return v + (gain - 1) * (v - shift) + gain * adapted;
            return gain * (v + adapted) + (bias === 'separate' ? shift : 0);
          });
          // Composed in float32 and rounded once: half a unit of the last place, whatever the inputs' type.
          const rounding = { float32: 4e-7, float16: 2 ** -11 + 4e-7, bfloat16: 2 ** -8 + 4e-7 }[base];
          expect(relativeError(y!, expected)).toBeLessThan(rounding);
        },
      );
    }
  }

  it('keeps what a g just above 1 changes, with a bias far larger than the change', async () => {
    const form: OperatorForm = {
      op: 'DoraCompose',
      base: 'float32',
      lora: 'float32',
      bias: 'inBase',
      channels: { axis: -1 },
    };
    const g = value([1 + 2 ** -10, 1 - 2 ** -11], [2], 'float32');
    const bias = value([1000, -1000], [2], 'float32');
    const base = value([1000 + 2 ** -4, -1000 - 2 ** -5], [1, 2], 'float32');
    const { y } = await run(form, { base, lora: value([0, 0], [1, 2], 'float32'), g, bias });
    expect([...y!]).toEqual([1000 + 2 ** -4 + 2 ** -14, -1000 - 2 ** -5 + 2 ** -16].map(Math.fround));
  });
});

describe('DoraComposeGrad', () => {
  it.each(TYPES)('%s %s', async (base, lora) => {
    const form: OperatorForm = { op: 'DoraComposeGrad', base, lora };
    const dims = [2, rows, out];
    const count = 2 * rows * out;
    const dy = value(random(count, 1), dims, base);
    const y0 = value(random(count, 2), dims, base);
    const l = value(random(count, 3), dims, lora);
    const g = value(random(out, 4), [out], 'float32');
    const grads = await run(form, { dy, base: y0, lora: l, g });
    const gain = (index: number) => g.values[index % out]!;
    expect(
      relativeError(
        grads.d_base!,
        dy.values.map((v, index) => v * gain(index)),
      ),
    ).toBeLessThan(TOLERANCE[base]);
    expect(
      relativeError(
        grads.d_lora!,
        dy.values.map((v, index) => scaling * v * gain(index)),
      ),
    ).toBeLessThan(TOLERANCE[lora]);
    const ofGain = new Float64Array(out);
    for (const [index, v] of dy.values.entries()) {
      ofGain[index % out]! += v * (y0.values[index]! + scaling * l.values[index]!);
    }
    expect(relativeError(grads.d_g!, ofGain)).toBeLessThan(1e-5);
  });

  it.each(OPSETS)('is valid at opset %i', async (opset) => {
    const form: OperatorForm = { op: 'DoraComposeGrad', base: 'float32', lora: 'float32' };
    const ones = value(new Float64Array(rows * out).fill(1), [rows, out], 'float32');
    const g = value(random(out, 4), [out], 'float32');
    const { d_g } = await run(form, { dy: ones, base: ones, lora: ones, g }, opset);
    expect(relativeError(d_g!, new Float64Array(out).fill(rows * (1 + scaling)))).toBeLessThan(1e-6);
  });
});

describe('operatorFunction', () => {
  const form: OperatorForm = { op: 'DoraComposeGrad', base: 'float32', lora: 'float32' };

  it('says which opset it needs', () => {
    expect(() => operatorFunction(form, { opset: 10, target: 'cuda' })).toThrow(
      /opset: expected 11 or newer .* got 10/,
    );
    expect(() => operatorFunction(form, { opset: 11, target: 'cuda' })).toThrow(/scaling: needed at opset 11/);
  });

  it('is the same for every call', () => {
    const options = { opset: 20, target: 'cuda', scaling } as const;
    expect(encodeModel(makeOperatorModel(form, options))).toEqual(encodeModel(makeOperatorModel(form, options)));
  });
});

function data(base: FloatType, adapter: FloatType) {
  return {
    x: value(random(rows * inputs, 1), [rows, inputs], base),
    w: value(random(out * inputs, 2), [out, inputs], base),
    a: value(random(rank * inputs, 3), [rank, inputs], adapter),
    b: value(random(out * rank, 4), [out, rank], adapter),
    g: value(
      random(out, 5).map((v) => 1 + 0.1 * v),
      [out],
      'float32',
    ),
    bias: value(random(out, 6), [out], base),
  };
}

function run(form: OperatorForm, feeds: Readonly<Record<string, TestValue>>, opset?: number) {
  return runOperator(form, { scaling }, feeds, opset);
}
