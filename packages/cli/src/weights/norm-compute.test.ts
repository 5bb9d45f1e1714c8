/** g of ranges is g of the whole, bit for bit, in every type and layout, and that of the formula in float64. */

import { denseNorm, type FloatType, type NormRequest, normOf, type Transposed } from '@ort-dora/rewriter';
import { describeRuntime } from '@ort-dora/runtime';
import { describe, expect, test } from 'vitest';
import { floats, noise, stored } from '../../test/support/stored.js';
import { normCompute } from './norm-compute.js';

const FLAGS: readonly Transposed[] = [0, 1];
const layouts = FLAGS.flatMap((transW) =>
  FLAGS.flatMap((transA) => FLAGS.map((transB) => ({ transW, transA, transB }))),
);
const types: readonly (readonly [weight: FloatType, adapter: FloatType, magnitude: FloatType])[] = [
  ['float32', 'float32', 'float32'],
  ['float16', 'float16', 'float16'],
  ['float16', 'float32', 'float32'],
  ['bfloat16', 'bfloat16', 'bfloat16'],
  ['bfloat16', 'float32', 'float32'],
];

// Not a whole number of ranges, of vectors or of the kernel's blocks; the last range is a row.
const [outFeatures, inFeatures, rank] = [385, 530, 20];
const inRanges = normCompute(1);
const asWhole = normCompute(Number.POSITIVE_INFINITY);

const hasAddon = describeRuntime().backend === 'addon';

describe.each(types)('%s weight, %s adapter, %s magnitude', (weight, adapter, magnitude) => {
  test.each(layouts)('%o', async (layout) => {
    const request = module({ weight, adapter, magnitude }, layout);
    const reads: number[] = [];
    const { read } = request.weight;
    const counted = {
      ...request.weight,
      read: (start = 0, end = request.weight.byteLength) => {
        reads.push(end - start);
        return read(start, end);
      },
    };
    const gain = await normOf(inRanges, { ...request, weight: counted });
    const exact = await denseNorm(request);
    for (const [row, value] of gain.entries()) expect(Math.abs(value / exact[row]! - 1)).toBeLessThan(2 ** -21);
    // Another one would be that of the float64 computation, which stands in where a session cannot be had.
    if (hasAddon || weight !== 'bfloat16') expect(reads).toHaveLength(4);
    expect(gain).toEqual(await normOf(asWhole, request));
  });
});

test('several modules at once, each of its own shape, form and scaling', async () => {
  const requests = [
    module({ weight: 'float32', adapter: 'float32', magnitude: 'float32' }, layouts[0]!),
    module({ weight: 'float16', adapter: 'float32', magnitude: 'float32' }, layouts[7]!, { outFeatures: 130, rank: 0 }),
    module({ weight: 'float32', adapter: 'float32', magnitude: 'float32' }, layouts[0]!, { outFeatures: 0 }),
    module({ weight: 'float32', adapter: 'float32', magnitude: 'float32' }, layouts[0]!, { scaling: -1.5 }),
  ];
  const gains: Float32Array[] = [];
  for await (const gain of inRanges(requests)) gains.push(gain);
  expect(gains.map(({ length }) => length)).toEqual([385, 130, 0, 385]);
  for (const [index, request] of requests.entries()) expect(gains[index]).toEqual(await normOf(asWhole, request));
});

test('rows in which s·B·A cancels W', async () => {
  const request = module({ weight: 'float32', adapter: 'float32', magnitude: 'float32' }, layouts[0]!, { rank: 1 });
  const [a, b] = [await floats(request.loraA), await floats(request.loraB)];
  const w = Float32Array.from({ length: outFeatures * inFeatures }, (_, index) => {
    const [row, column] = [Math.floor(index / inFeatures), index % inFeatures];
    return row % 3 === 0 ? -request.scaling * b[row]! * a[column]! * (1 + 1e-4 * Math.sin(index)) : Math.sin(index);
  });
  const cancelling = { ...request, weight: stored(w, [outFeatures, inFeatures], 'float32') };
  const gain = await normOf(inRanges, cancelling);
  expect(gain).toEqual(await normOf(asWhole, cancelling));
  const exact = await denseNorm(cancelling);
  for (const [row, value] of gain.entries()) expect(Math.abs(value / exact[row]! - 1)).toBeLessThan(2 ** -20);
});

test('what is not finite stays in its rows', async () => {
  const request = module({ weight: 'float32', adapter: 'float32', magnitude: 'float32' }, layouts[0]!);
  const w = await floats(request.weight);
  w[200 * inFeatures + 7] = Number.NaN;
  w.fill(0, 384 * inFeatures);
  const [gain, whole] = [inRanges, asWhole].map((compute) =>
    normOf(compute, { ...request, weight: stored(w, [outFeatures, inFeatures], 'float32') }),
  );
  expect((await gain)!.findIndex(Number.isNaN)).toBe(200);
  expect(await gain).toEqual(await whole);
});

test('stops when it is told to', async () => {
  const request = module({ weight: 'float32', adapter: 'float32', magnitude: 'float32' }, layouts[0]!);
  const reason = new Error('enough');
  await expect(normOf(inRanges, { ...request, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

interface Types {
  readonly weight: FloatType;
  readonly adapter: FloatType;
  readonly magnitude: FloatType;
}

function module(
  types: Types,
  layout: (typeof layouts)[number],
  given: Partial<Record<'outFeatures' | 'rank' | 'scaling', number>> = {},
): NormRequest {
  const shape = { outFeatures, inFeatures, rank, scaling: 0.75, ...given };
  const matrix = (rows: number, columns: number, transposed: Transposed, type: FloatType, seed: number) =>
    stored(noise(rows * columns, seed), transposed === 0 ? [rows, columns] : [columns, rows], type);
  return {
    path: 'q_proj',
    weight: matrix(shape.outFeatures, inFeatures, layout.transW, types.weight, 1),
    loraA: matrix(shape.rank, inFeatures, layout.transA, types.adapter, 2),
    loraB: matrix(shape.outFeatures, shape.rank, layout.transB, types.adapter, 3),
    magnitude: stored(noise(shape.outFeatures, 4), [shape.outFeatures], types.magnitude),
    ...layout,
    ...shape,
  };
}
