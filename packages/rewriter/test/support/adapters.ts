/** PEFT folders for models made by hand. */

import { writeAdapter } from '@ort-dora/adapters';
import type { FloatType } from '../../src/index.js';
import { seeded, toBytes } from './numbers.js';

export interface TestModule {
  readonly path: string;
  readonly kind?: 'linear' | 'embedding' | 'conv';
  readonly outFeatures: number;
  readonly inFeatures: number;
  /** Of a convolution. */
  readonly kernel?: readonly number[];
  /** Of the magnitudes; default 1. */
  readonly magnitude?: number;
}

/** Writes an adapter with seeded numbers, DoRA unless `dora` is false. */
export async function writeTestAdapter(
  folder: string,
  modules: readonly TestModule[],
  {
    rank = 2,
    type = 'float32',
    dora = true,
  }: { readonly rank?: number; readonly type?: FloatType; readonly dora?: boolean } = {},
): Promise<void> {
  const random = seeded(rank + modules.length);
  const tensor = (dims: readonly number[], value: () => number) => {
    const bytes = toBytes(Float64Array.from({ length: dims.reduce((total, dim) => total * dim, 1) }, value), type);
    const read = async (start = 0, end = bytes.length) => bytes.subarray(start, end);
    return { type, dims, byteLength: bytes.length, read };
  };
  await writeAdapter(folder, {
    config: JSON.stringify({ peft_type: 'LORA', r: rank, lora_alpha: 3, use_dora: dora }),
    modules: modules.map(({ path, kind = 'linear', outFeatures, inFeatures, kernel = [], magnitude = 1 }) => ({
      path,
      kind,
      loraA: tensor([rank, inFeatures, ...kernel], random),
      loraB: tensor([outFeatures, rank, ...kernel.map(() => 1)], random),
      ...(dora && {
        magnitude: tensor(
          kind === 'conv' ? [1, outFeatures, ...kernel.map(() => 1)] : [outFeatures],
          () => magnitude * (1 + 0.2 * random()),
        ),
      }),
    })),
  });
}
