/** Merged weights by ONNX Runtime against those in float64: the same bits, but where float32 falls on the other side of a rounding. */

import { type FloatType, type MergeRequest, mergeExactly, type Transposed } from '@ort-dora/rewriter';
import { describeRuntime } from '@ort-dora/runtime';
import { afterAll, describe, expect, test } from 'vitest';
import { noise, stored } from '../../test/support/stored.js';
import { WeightMerge } from './merge-compute.js';

const FLAGS: readonly Transposed[] = [0, 1];
const layouts = FLAGS.flatMap((transW) =>
  FLAGS.flatMap((transA) => FLAGS.map((transB) => ({ transW, transA, transB }))),
);
const types: readonly (readonly [weight: FloatType, adapter: FloatType, type: FloatType])[] = [
  ['float32', 'float32', 'float32'],
  ['float16', 'float16', 'float16'],
  ['float16', 'float32', 'float32'],
  ['bfloat16', 'bfloat16', 'bfloat16'],
  ['bfloat16', 'float32', 'bfloat16'],
];

/** A row is 1.3 KB: several ranges, the last not a whole one. */
const shape = { outFeatures: 130, inFeatures: 333, rank: 9 };
const weights = new WeightMerge(40 * 1024);
afterAll(() => weights[Symbol.asyncDispose]());

const hasAddon = describeRuntime().backend === 'addon';

describe.each(types)('%s weight, %s adapter, merged in %s', (weight, adapter, type) => {
  test.each(layouts)('%o', async (layout) => {
    const request = module({ weight, adapter, type, chained: 1 }, layout);
    const pieces: number[] = [];
    const merged = await bytesOf(weights.compute(request), pieces);
    if (hasAddon || weight !== 'bfloat16') expect(pieces.length).toBeGreaterThan(2);
    expectClose(merged, await bytesOf(mergeExactly(request)), type);
  });

  test.each(FLAGS)('three adapters on one another, transW %i', async (transW) => {
    const request = module({ weight, adapter, type, chained: 3 }, { transW, transA: 0, transB: 0 });
    expectClose(await bytesOf(weights.compute(request)), await bytesOf(mergeExactly(request)), type);
  });
});

test('rank 0 leaves g·W', async () => {
  const types = { weight: 'float32', adapter: 'float32', type: 'float32', chained: 1 } as const;
  const request = module(types, layouts[0]!, { ...shape, rank: 0 });
  expectClose(await bytesOf(weights.compute(request)), await bytesOf(mergeExactly(request)), 'float32');
});

test('stops when it is told to', async () => {
  const types = { weight: 'float32', adapter: 'float32', type: 'float32', chained: 1 } as const;
  const reason = new Error('enough');
  const request = { ...module(types, layouts[0]!), signal: AbortSignal.abort(reason) };
  await expect(bytesOf(weights.compute(request))).rejects.toBe(reason);
});

interface Types {
  readonly weight: FloatType;
  readonly adapter: FloatType;
  readonly type: FloatType;
  readonly chained: number;
}

function module(
  { weight, adapter, type, chained }: Types,
  { transW, transA, transB }: (typeof layouts)[number],
  { outFeatures, inFeatures, rank } = shape,
): MergeRequest {
  const matrix = (rows: number, columns: number, transposed: Transposed, of: FloatType, seed: number) =>
    stored(noise(rows * columns, seed), transposed === 0 ? [rows, columns] : [columns, rows], of);
  return {
    path: 'q_proj',
    weight: matrix(outFeatures, inFeatures, transW, weight, 1),
    transW,
    type,
    outFeatures,
    inFeatures,
    adapters: Array.from({ length: chained }, (_, index) => ({
      loraA: matrix(rank, inFeatures, transA, adapter, 10 * index + 2),
      loraB: matrix(outFeatures, rank, transB, adapter, 10 * index + 3),
      transA,
      transB,
      rank,
      scaling: 0.75 - index,
      gain: noise(outFeatures, 10 * index + 4).map((value) => 1 + value / 8),
    })),
  };
}

async function bytesOf(pieces: AsyncIterable<Uint8Array>, lengths: number[] = []): Promise<Uint8Array> {
  const all: Buffer[] = [];
  for await (const piece of pieces) {
    lengths.push(piece.length);
    all.push(Buffer.from(piece));
  }
  return new Uint8Array(Buffer.concat(all));
}

/** Float32 sums may differ in their last bits; in half precision hardly one in a thousand elements is then rounded otherwise. */
function expectClose(merged: Uint8Array, exact: Uint8Array, type: FloatType): void {
  expect(merged.length).toBe(exact.length);
  const [left, right] = [numbers(merged, type), numbers(exact, type)];
  const largest = right.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const ulp = type === 'float32' ? 0 : ULP[type];
  const errors = right.map((value, index) => Math.abs(left[index]! - value));
  const excess = errors.map((error, index) => error - ulp * Math.abs(right[index]!));
  expect(Math.max(...excess)).toBeLessThanOrEqual(2 ** -22 * largest);
  if (type !== 'float32') expect(errors.filter((error) => error > 0).length / right.length).toBeLessThan(2e-3);
}

const ULP = { float16: 2 ** -10, bfloat16: 2 ** -7 } as const;

function numbers(bytes: Uint8Array, type: FloatType): Float32Array {
  if (type === 'float32') return new Float32Array(bytes.buffer);
  const bits = new Uint16Array(bytes.buffer);
  return Float32Array.from(bits, type === 'bfloat16' ? bfloat16 : float16);
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function bfloat16(bits: number): number {
  word[0] = bits << 16;
  return float[0]!;
}

function float16(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 0x3ff];
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
