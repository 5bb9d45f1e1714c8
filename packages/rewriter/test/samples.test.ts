import { encodeModel } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import type { FusedModuleReport } from '../src/index.js';
import { expectSameBytes } from './support/bytes.js';
import { toNumbers } from './support/npz.js';
import { relativeError } from './support/numbers.js';
import { optimizedOperators, runModel } from './support/ort.js';
import { rewritten } from './support/rewrite.js';
import { type InputSet, inputSets, SAMPLES, type Sample, sampleBytes, sampleModel } from './support/samples.js';
import { numbersOf } from './support/tensors.js';

describe.each(SAMPLES)('$name', (sample) => {
  const { meta } = sample;
  let runs: Promise<OriginalRun[]> | undefined;
  const originalRuns = () => {
    runs ??= runOriginal(sample);
    return runs;
  };

  describe.each(['linear', 'compose'] as const)('--form %s', (form) => {
    it('fuses exactly the DoRA modules', async () => {
      const { report } = await rewritten(sampleModel(sample), { form });
      const fused = report.modules.filter((module): module is FusedModuleReport => module.status === 'fused');
      const isEmbedding = meta.kind === 'embedding';
      const expected = meta.dora_modules ?? [];
      expect(report.totals).toMatchObject({
        fused: meta.expected_dora_modules,
        full: meta.expected_full ?? 0,
        composeOnly: meta.expected_compose_only ?? 0,
        skipped: 0,
        already: 0,
      });
      const identity = ({ path, adapter, rank, scaling, weightShape, bias }: FusedModuleReport) =>
        JSON.stringify([path, adapter, rank, scaling, weightShape, bias]);
      // An embedding's weight is stored [vocab, dim], and has dim outputs.
      const wanted = expected.map(({ module, adapter, r, scaling, weight_shape, bias }) =>
        JSON.stringify([module, adapter, r, scaling, isEmbedding ? weight_shape.toReversed() : weight_shape, bias]),
      );
      expect(fused.map(identity).sort()).toEqual(wanted.sort());
    });

    it.each(['stored', 'runtime'] as const)('computes what PyTorch computes, scale %s', async (scale) => {
      const { model } = await rewritten(sampleModel(sample), { form, scale, target: 'cpu' });
      for (const { feeds, expected, before } of await originalRuns()) {
        const results = await runModel(model, feeds);
        for (const [name, tensor] of Object.entries(results)) {
          const reference = toNumbers(expected.get(`${name}__f64`)!);
          const error = relativeError(numbersOf(tensor), reference);
          expect(error).toBeLessThan(meta.tolerance!.max_abs_over_absmax);
          // Twice the original's own error, and one rounding of the output.
          const rounding = tensor.type === 'float16' ? 2 ** -11 : 2 ** -24;
          expect(error).toBeLessThanOrEqual(2 * relativeError(numbersOf(before[name]!), reference) + rounding);
        }
      }
    });
  });

  it('leaves no more to run than the original on stock ONNX Runtime', async () => {
    const { model, report } = await rewritten(sampleModel(sample), { target: 'cpu' });
    const before = await optimizedOperators(sampleBytes(sample));
    const after = await optimizedOperators(model);
    const total = (counts: Record<string, number>) => Object.values(counts).reduce((sum, count) => sum + count, 0);
    if (report.totals.fused === 0) expect(after).toEqual(before);
    // Every fused module saves at least two nodes even after ONNX Runtime has folded the original's norm.
    expect(total(after)).toBeLessThanOrEqual(total(before) - 2 * report.totals.fused);
    const products = ({ MatMul = 0, FusedMatMul = 0, Gemm = 0 }: Record<string, number>) => MatMul + FusedMatMul + Gemm;
    expect(products(after)).toBeLessThanOrEqual(products(before));
  });

  it('is deterministic, and a second rewrite changes nothing', async () => {
    const first = await rewritten(sampleModel(sample));
    const again = await rewritten(sampleModel(sample));
    expectSameBytes(encodeModel(again.model), encodeModel(first.model));
    expect(again.report).toEqual(first.report);
    const second = await rewritten(first.model);
    expectSameBytes(encodeModel(second.model), encodeModel(first.model));
    expect(second.report.totals).toMatchObject({ fused: 0, already: first.report.totals.fused });
    expect(second.report.modules.map(({ path, adapter }) => [path, adapter])).toEqual(
      first.report.modules.map(({ path, adapter }) => [path, adapter]),
    );
  });

  if (meta.expected_dora_modules === 0) {
    it('is left byte for byte as it was', async () => {
      const { model, report } = await rewritten(sampleModel(sample));
      expectSameBytes(encodeModel(model), sampleBytes(sample));
      expect(report.modules.filter(({ status }) => status !== 'skipped')).toEqual([]);
    });
  }
});

type OriginalRun = InputSet & { readonly before: Awaited<ReturnType<typeof runModel>> };

async function runOriginal(sample: Sample): Promise<OriginalRun[]> {
  const done: OriginalRun[] = [];
  for (const set of inputSets(sample)) done.push({ ...set, before: await runModel(sampleBytes(sample), set.feeds) });
  return done;
}
