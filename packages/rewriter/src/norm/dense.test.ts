import { describe, expect, it } from 'vitest';
import { matMul, relativeError, rounded, seeded, transposed } from '../../test/support/numbers.js';
import { storedFloats } from '../../test/support/stored.js';
import type { FloatType, Transposed } from '../functions/form.js';
import { denseNorm } from './dense.js';

const FLAGS: readonly Transposed[] = [0, 1];

function request(
  { outFeatures = 7, inFeatures = 11, rank = 3, scaling = 0.5 },
  layout: { transW: Transposed; transA: Transposed; transB: Transposed },
  [weight, adapter]: readonly [FloatType, FloatType],
) {
  const next = seeded(outFeatures + inFeatures);
  const random = (count: number) => Float64Array.from({ length: count }, next);
  const w = rounded(random(outFeatures * inFeatures), weight);
  const a = rounded(random(rank * inFeatures), adapter);
  const b = rounded(random(outFeatures * rank), adapter);
  const m = rounded(random(outFeatures), 'float32');
  const stored = (values: Float64Array, rows: number, columns: number, flag: Transposed, type: FloatType) =>
    flag === 0
      ? storedFloats(values, [rows, columns], type)
      : storedFloats(transposed(values, rows, columns), [columns, rows], type);
  const delta = matMul(b, a, outFeatures, rank, inFeatures);
  const expected = m.map((magnitude, row) => {
    let square = 0;
    for (let column = 0; column < inFeatures; column++) {
      square += (w[row * inFeatures + column]! + scaling * delta[row * inFeatures + column]!) ** 2;
    }
    return magnitude / Math.sqrt(square);
  });
  return {
    expected,
    request: {
      path: 'q_proj',
      weight: stored(w, outFeatures, inFeatures, layout.transW, weight),
      loraA: stored(a, rank, inFeatures, layout.transA, adapter),
      loraB: stored(b, outFeatures, rank, layout.transB, adapter),
      magnitude: storedFloats(m, [outFeatures]),
      ...layout,
      scaling,
      outFeatures,
      inFeatures,
      rank,
    },
  };
}

describe('denseNorm', () => {
  for (const types of [
    ['float32', 'float32'],
    ['float16', 'float32'],
    ['bfloat16', 'bfloat16'],
  ] as const) {
    const layouts = FLAGS.flatMap((transW) =>
      FLAGS.flatMap((transA) => FLAGS.map((transB) => ({ transW, transA, transB }))),
    );
    it.each(layouts)(`${types.join(' ')} %o`, async (layout) => {
      const { request: of, expected } = request({}, layout, types);
      expect(relativeError(await denseNorm(of), expected)).toBeLessThan(2 ** -24);
    });
  }

  it.each([{ rank: 0 }, { rank: 1 }, { rank: 9 }, { scaling: 0 }, { scaling: -2 }, { outFeatures: 0 }])(
    '%o',
    async (shape) => {
      const { request: of, expected } = request(shape, { transW: 0, transA: 0, transB: 0 }, ['float32', 'float32']);
      expect(relativeError(await denseNorm(of), expected)).toBeLessThan(2 ** -24);
    },
  );

  it.each(FLAGS)('reads W in chunks, transW %i', async (transW) => {
    const shape = transW === 0 ? { outFeatures: 1100, inFeatures: 2048 } : { outFeatures: 2048, inFeatures: 1100 };
    const { request: of, expected } = request({ ...shape, rank: 2 }, { transW, transA: 0, transB: 0 }, [
      'float32',
      'float32',
    ]);
    expect(relativeError(await denseNorm(of), expected)).toBeLessThan(2 ** -24);
    expect(of.weight.reads.length).toBeGreaterThan(1);
    expect(Math.max(...of.weight.reads)).toBeLessThanOrEqual(16 * 2 ** 20);
  });

  it('keeps its digits where s·B·A cancels W to a millionth', async () => {
    const next = seeded(5);
    const inFeatures = 512;
    const a = rounded(Float64Array.from({ length: inFeatures }, next), 'float32');
    const w = rounded(
      a.map((value) => -value * (1 + 1e-6 * next())),
      'float32',
    );
    let square = 0;
    for (const [index, value] of w.entries()) square += (value + a[index]!) ** 2;
    const g = await denseNorm({
      path: 'q_proj',
      weight: storedFloats(w, [1, inFeatures]),
      loraA: storedFloats(a, [1, inFeatures]),
      loraB: storedFloats([1], [1, 1]),
      magnitude: storedFloats([1], [1]),
      transW: 0,
      transA: 0,
      transB: 0,
      scaling: 1,
      outFeatures: 1,
      inFeatures,
      rank: 1,
    });
    expect(relativeError(g, [1 / Math.sqrt(square)])).toBeLessThan(2 ** -24);
  });

  it('passes on what is not finite, as PEFT does', async () => {
    const layout = { transW: 0, transA: 0, transB: 0 } as const;
    const of = (w: number[], m: number) =>
      denseNorm({
        path: '',
        weight: storedFloats(w, [1, 2]),
        loraA: storedFloats([0, 0], [1, 2]),
        loraB: storedFloats([0], [1, 1]),
        magnitude: storedFloats([m], [1]),
        ...layout,
        scaling: 1,
        outFeatures: 1,
        inFeatures: 2,
        rank: 1,
      });
    expect([...(await of([0, 0], 1))]).toEqual([Number.POSITIVE_INFINITY]);
    expect([...(await of([0, 0], 0))]).toEqual([Number.NaN]);
    expect([...(await of([Number.NaN, 0], 1))]).toEqual([Number.NaN]);
    expect([...(await of([3, 4], -1))]).toEqual([Math.fround(-0.2)]);
  });

  it('stops when it is told to', async () => {
    const { request: of } = request({}, { transW: 0, transA: 0, transB: 0 }, ['float32', 'float32']);
    await expect(denseNorm({ ...of, signal: AbortSignal.abort() })).rejects.toThrow();
  });
});
