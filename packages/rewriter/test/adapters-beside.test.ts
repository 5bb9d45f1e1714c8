/** Further adapters of PEFT before 0.14, which change x·Wᵀ and are added to the adapter before. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAdapter } from '@ort-dora/adapters';
import { decodeModel, encodeModel } from '@ort-dora/onnx';
import { afterAll, describe, expect, it } from 'vitest';
import { extractAdapter, type FusedModuleReport, mergeModel, rewriteModel } from '../src/index.js';
import { exported } from './support/matrix-exports.js';
import { relativeError } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { numbersOf } from './support/tensors.js';

const scratch = mkdtempSync(join(tmpdir(), 'adapters-beside-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const CASES = [
  'legacy_square_two_adapters',
  'dynamo_square_two_adapters_optimized',
  'dynamo_two_adapters_mixed',
  'legacy_two_adapters_mixed_folded',
].map((name) => `torch2.15.0-peft0.13.2/${name}`);

describe.each(CASES)('%s', (name) => {
  const of = exported(name);
  const input = join(scratch, `${name.replace('/', '-')}.onnx`);
  writeFileSync(input, encodeModel(of.model()));
  const outputOf = async (path: string) =>
    numbersOf((await runModel(decodeModel(new Uint8Array(readFileSync(path))), of.feeds())).y!);

  it.each(['linear', 'compose'] as const)(
    'the second is composed over the product and its change added, form %s',
    async (form) => {
      const output = `${input}.${form}`;
      const { report } = await rewriteModel(input, output, { form, target: 'cpu' });
      const [first, second] = report.modules as FusedModuleReport[];
      expect(first!.form.base).not.toBe('recomputed');
      expect(second).toMatchObject({
        status: 'fused',
        operator: 'DoraCompose',
        adapter: 'second',
        form: { base: 'recomputed' },
      });
      expect(second!.bias).toBe(false);
      expect(second!.values.base).toBe(first!.values.y);
      const graph = decodeModel(new Uint8Array(readFileSync(output))).graph!;
      const sum = graph.node.find((node) => node.output.includes(second!.values.y))!;
      expect(sum.opType).toBe('Add');
      // The norms are gone.
      expect(graph.node.some(({ opType }) => opType === 'ReduceL2' || opType === 'Div')).toBe(false);
      expect(relativeError(await outputOf(output), await outputOf(input))).toBeLessThan(2e-3);
      // A rewritten model has nothing left to fuse.
      expect((await rewriteModel(output, `${output}.again`)).report.totals).toMatchObject({
        fused: 0,
        skipped: 0,
        already: 2,
      });
    },
  );

  // torch's optimizer lets the layer and both adapters share one product, so that the bias is not the layer's alone.
  const sharesProduct = name.includes('optimized');

  it('the second is a PEFT folder again, as the first is', { skip: sharesProduct }, async () => {
    for (const adapter of ['default', 'second']) {
      const folder = `${input}.${adapter}`;
      await extractAdapter([input], folder, { adapter });
      await using found = await openAdapter(folder);
      const wanted = of.modules.find((module) => module.adapter === adapter)!;
      const module = [...found.modules.values()][0]!;
      expect([module.path, module.rank]).toEqual([wanted.path, wanted.rank]);
      expect(module.scaling).toBeCloseTo(wanted.scaling, 6);
    }
  });

  it.runIf(sharesProduct)('a layer whose product is shared is not read back, and said so', async () => {
    await expect(extractAdapter([input], `${input}.none`, { adapter: 'second' })).rejects.toThrow(
      'the adapter of q_proj cannot be read back: its base "linear" is not the result of a layer',
    );
  });

  it('merging folds what can be folded, and changes no result', async () => {
    const output = `${input}.merged`;
    const { modules } = await mergeModel(input, output);
    expect(modules.length).toBeGreaterThan(0);
    expect(relativeError(await outputOf(output), await outputOf(input))).toBeLessThan(2e-3);
  });
});
