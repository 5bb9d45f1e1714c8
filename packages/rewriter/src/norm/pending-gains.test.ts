import { describe, expect, it } from 'vitest';
import { storedFloats } from '../../test/support/stored.js';
import type { NormCompute, NormRequest } from './norm.js';
import { type NormProgress, PendingGains } from './pending-gains.js';

function request(path: string, outFeatures: number): NormRequest {
  return {
    path,
    weight: storedFloats(new Float32Array(2 * outFeatures), [outFeatures, 2]),
    loraA: storedFloats([1, 2], [1, 2]),
    loraB: storedFloats(new Float32Array(outFeatures), [outFeatures, 1]),
    magnitude: storedFloats(new Float32Array(outFeatures), [outFeatures]),
    transW: 0,
    transA: 0,
    transB: 0,
    scaling: 1,
    outFeatures,
    inFeatures: 2,
    rank: 1,
  };
}

describe('PendingGains', () => {
  it('puts each g into the memory that it was given out for, and says how far it is', async () => {
    const gains = new PendingGains();
    const [q, k] = [gains.add(request('q', 3)), gains.add(request('k', 2))];
    expect([...q, ...k]).toEqual([0, 0, 0, 0, 0]);
    const progress: NormProgress[] = [];
    const compute: NormCompute = async function* (requests) {
      for (const { path, outFeatures } of requests) yield new Float32Array(outFeatures).fill(path === 'q' ? 7 : 8);
    };
    await gains.compute(compute, (event) => progress.push(event));
    expect([...q, ...k]).toEqual([7, 7, 7, 8, 8]);
    expect(progress.map(({ path, done, doneBytes }) => [path, done, doneBytes])).toEqual([
      ['q', 0, 0],
      ['k', 1, 44],
      [undefined, 2, 76],
    ]);
    expect(progress.every(({ total, totalBytes }) => total === 2 && totalBytes === 76)).toBe(true);
  });

  it('refuses a g of another length, and one too few', async () => {
    const gains = new PendingGains();
    gains.add(request('q', 3));
    const short: NormCompute = async function* () {
      yield new Float32Array(2);
    };
    await expect(gains.compute(short)).rejects.toMatchObject({
      code: 'norm',
      message: 'q: the norm has 2 elements, W 3 outputs',
    });
    const none: NormCompute = async function* () {};
    await expect(gains.compute(none)).rejects.toThrow('1 norms were asked for, 0 came');
  });
});
