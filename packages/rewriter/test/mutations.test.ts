/**
 * Changes of recorded exports, one thing at a time: whatever is fused then computes what the changed original computes;
 * and ways to write the same graph differently, after which everything is still fused.
 *
 * ORT_DORA_MUTANTS sets how many mutants are tried of each export (default 40); `all` tries every one.
 */
import { decodeModel, encodeModel, type ModelProto } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { BENIGN } from './mutations/benign.js';
import { judge } from './mutations/judge.js';
import { type Mutation, mutationsOf } from './mutations/mutations.js';
import { valuesOf } from './mutations/values.js';
import { layerArrays, layerModel } from './support/layers.js';
import { exported } from './support/matrix-exports.js';
import { toTensor } from './support/npz.js';
import { toFloat16Bits } from './support/numbers.js';
import type { Feeds } from './support/ort.js';

/** All matrices of these are 6 × 6, but for the wide one's, so that shapes show no mistake. */
const BASES = [
  'torch2.15.0-peft0.21.2/legacy_square',
  'torch2.15.0-peft0.21.2/legacy_square_folded',
  'torch2.15.0-peft0.21.2/legacy_square_mixed',
  'torch2.15.0-peft0.21.2/legacy_square_two_adapters',
  'torch2.15.0-peft0.21.2/legacy_square_warm',
  'torch2.15.0-peft0.21.2/legacy_2d_square',
  'torch2.15.0-peft0.21.2/dynamo_square',
  'torch2.15.0-peft0.21.2/dynamo_square_optimized',
  'torch2.15.0-peft0.21.2/dynamo_2d_square',
  'torch2.15.0-peft0.21.2/dynamo_square_siblings',
  'torch2.15.0-peft0.21.2/dynamo_norm_pow',
  'torch2.15.0-peft0.13.2/legacy_square_two_adapters',
  'torch2.15.0-peft0.13.2/dynamo_square_two_adapters_optimized',
  'torch2.6.0-peft0.14.0/dynamo_square',
  'torch2.4.1-peft0.9.0/legacy_square',
];

const SMALLEST_VOCABULARY = 11;

const MUTANTS =
  process.env.ORT_DORA_MUTANTS === 'all' ? Number.POSITIVE_INFINITY : Number(process.env.ORT_DORA_MUTANTS ?? 40);

/** Of the other kinds of layers, by the axis of x that has one size, where there is one. */
const LAYERS: readonly (readonly [name: string, features: number | undefined])[] = [
  ['conv1d_gpt2_legacy_peft0.21', -1],
  ['conv2d_legacy_peft0.21', 1],
  ['conv2d_legacy_peft0.11', 1],
  ['conv2d_dynamo_peft0.21', 1],
  ['embedding_scaled_legacy_peft0.21', undefined],
  ['embedding_dynamo_unoptimized_peft0.21', undefined],
];

interface Base {
  readonly original: ModelProto;
  readonly modules: number;
  readonly feeds: readonly Feeds[];
}

const CASES: readonly (readonly [name: string, base: () => Base])[] = [
  ...BASES.map((name) => {
    const of = exported(name);
    return [
      name,
      () => ({ original: of.model(), modules: of.modules.length, feeds: inputsOf(of.feeds(), -1) }),
    ] as const;
  }),
  ...LAYERS.map(([name, features]) => {
    const x = () => toTensor(layerArrays(name).get('x')!);
    return [name, () => ({ original: layerModel(name), modules: 1, feeds: inputsOf({ x: x() }, features) })] as const;
  }),
];

describe.each(CASES)('%s', (_, base) => {
  const { original, modules, feeds } = base();
  const copy = (): ModelProto => decodeModel(encodeModel(original));

  it('is refused or right after any change', { timeout: 3_600_000 }, async () => {
    const random = uniform(1);
    const all = [...mutationsOf(original, await valuesOf(original, feeds[0]!), random)];
    const counts = { invalid: 0, refused: 0, fused: 0, wrong: 0 };
    const wrong: string[] = [];
    for (const mutation of chosen(all, uniform(2))) {
      const model = copy();
      const given = mutation.apply(model);
      const outcome = await judge(
        model,
        modules,
        feeds.map((set) => ({ ...set, ...given })),
      );
      counts[outcome.kind]++;
      if (outcome.kind === 'wrong') wrong.push(`${mutation.kind}: ${mutation.what}: ${outcome.why}`);
    }
    expect(wrong).toEqual([]);
    // The changes are neither all harmless nor all fatal.
    expect(counts.refused).toBeGreaterThan(MUTANTS / 20);
    expect(counts.fused).toBeGreaterThan(0);
  });

  it('is fused however it is written', { timeout: 3_600_000 }, async () => {
    const random = uniform(3);
    const values = await valuesOf(original, feeds[0]!);
    const rounds = Math.min(50, Math.ceil(MUTANTS / 20));
    const failed: string[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const { what, apply } of BENIGN) {
        const model = copy();
        if (!apply(model, values, random)) continue;
        const outcome = await judge(model, modules, feeds);
        if (outcome.kind !== 'fused') failed.push(`${what}: ${JSON.stringify(outcome)}`);
      }
    }
    expect(failed).toEqual([]);
  });
});

/** Equally many of each kind, as far as there are. */
function chosen(all: readonly Mutation[], random: () => number): readonly Mutation[] {
  if (all.length <= MUTANTS) return all;
  const kinds = [...new Set(all.map(({ kind }) => kind))].map((kind) =>
    all.filter((mutation) => mutation.kind === kind),
  );
  const picked: Mutation[] = [];
  while (picked.length < MUTANTS) {
    for (const kind of kinds) {
      if (kind.length > 0) picked.push(...kind.splice(Math.floor(random() * kind.length), 1));
    }
  }
  return picked;
}

/** The recorded inputs, and x of another shape: of other sizes but for those of the features. */
function inputsOf(recorded: Feeds, features: number | undefined): readonly Feeds[] {
  const { x, ...others } = recorded;
  const random = uniform(4);
  const fixed = features === undefined ? undefined : features < 0 ? features + x!.dims.length : features;
  const dims = x!.dims.map((size, axis) => (axis === fixed ? size : axis === 0 ? 3 : 4));
  const length = dims.reduce((a, b) => a * b, 1);
  return [recorded, { ...others, x: anotherTensor(x!.type, length, dims, random) }];
}

function anotherTensor(type: ort.Tensor.Type, length: number, dims: readonly number[], random: () => number) {
  if (type === 'int64') {
    const ids = BigInt64Array.from({ length }, () => BigInt(Math.floor(random() * SMALLEST_VOCABULARY)));
    return new ort.Tensor('int64', ids, dims);
  }
  const values = Float32Array.from({ length }, () => 2 * random() - 1);
  return type === 'float16'
    ? new ort.Tensor('float16', Uint16Array.from(values, toFloat16Bits), dims)
    : new ort.Tensor('float32', values, dims);
}

/** Deterministic numbers from 0 to 1. */
function uniform(seed: number): () => number {
  let state = seed * 2654435761;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 24;
  };
}
