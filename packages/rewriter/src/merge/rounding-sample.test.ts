import { describe, expect, it } from 'vitest';
import { rounded, seeded, transposed } from '../../test/support/numbers.js';
import { storedFloats } from '../../test/support/stored.js';
import type { FloatType, Transposed } from '../functions/form.js';
import type { MergeRequest } from './merge-compute.js';
import { mergeExactly } from './merge-exactly.js';
import { RoundingSample } from './rounding-sample.js';

const [outFeatures, inFeatures, rank] = [40, 700, 3];

function request(type: FloatType, transW: Transposed, flags: Transposed): MergeRequest {
  const random = seeded(3);
  const matrix = (rows: number, columns: number, flag: Transposed) => {
    const values = rounded(Float64Array.from({ length: rows * columns }, random), type);
    return flag === 0
      ? storedFloats(values, [rows, columns], type)
      : storedFloats(transposed(values, rows, columns), [columns, rows], type);
  };
  const adapter = () => ({
    loraA: matrix(rank, inFeatures, flags),
    loraB: matrix(outFeatures, rank, flags),
    transA: flags,
    transB: flags,
    rank,
    scaling: 1.5,
    gain: Float32Array.from({ length: outFeatures }, () => 1 + random() / 4),
  });
  const weight = matrix(outFeatures, inFeatures, transW);
  return { path: 'fc', weight, transW, type, outFeatures, inFeatures, adapters: [adapter(), adapter()] };
}

/** The sample's error of W' in float64 and rounded, after `change`. */
async function errorOf(of: MergeRequest, change: (bytes: Uint8Array, firstRow: number) => void = () => {}) {
  const sample = new RoundingSample(of);
  const columns = of.transW === 0 ? inFeatures : outFeatures;
  const width = of.type === 'float32' ? 4 : 2;
  let row = 0;
  for await (const piece of mergeExactly(of)) {
    change(piece, row);
    sample.see(row, piece);
    row += piece.length / (columns * width);
  }
  return sample.error();
}

describe.each([0, 1] as const)('transW %i', (transW) => {
  it.each([0, 1] as const)('transA and transB %i: is one rounding', async (flags) => {
    for (const [type, most] of [
      ['float32', 2 ** -24],
      ['float16', 2 ** -11],
      ['bfloat16', 2 ** -8],
    ] as const) {
      const { max, rms } = await errorOf(request(type, transW, flags));
      expect(max).toBeLessThanOrEqual(most);
      expect(max).toBeGreaterThan(most / 8);
      expect(rms).toBeLessThan(max);
      expect(rms).toBeGreaterThan(most / 8);
    }
  });

  it('sees what is wrong', async () => {
    // A bit of the exponent of every number.
    const flip = (bytes: Uint8Array) => {
      for (let at = 3; at < bytes.length; at += 4) bytes[at]! ^= 1;
    };
    expect((await errorOf(request('float32', transW, 0), flip)).rms).toBeGreaterThan(0.1);
  });
});
