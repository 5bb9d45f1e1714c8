/** Exports of several versions of torch and PEFT, with both exporters: all modules are found, and computed right. */
import { DataType, type ModelProto } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { EXPORTS } from './support/matrix-exports.js';
import { relativeError } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { overFloat32 } from './support/over-float32.js';
import { rewritten } from './support/rewrite.js';
import { numbersOf } from './support/tensors.js';

/**
 * Six rows of outputs are few: an original may happen to be exact to the last bit. A rewrite may be off by this many
 * roundings whatever the original's error; `matrix/matrix.mjs` holds the rule without it over more rows.
 */
const ROUNDINGS = { float32: 6, float16: 2, bfloat16: 3 };
const UNIT_ROUNDOFF = { float32: 2 ** -24, float16: 2 ** -11, bfloat16: 2 ** -8 };

describe.each(EXPORTS.map((of) => [of.name, of] as const))('%s', (_, of) => {
  const { modules } = of;
  const isOfAnyRank = of.name.endsWith('any_rank');
  const adaptersAreInputs = of.name.includes('adapter_inputs');
  it.each(['stored', 'runtime'] as const)('is fused and right, scale %s', async (scale) => {
    const model = of.model();
    const { model: result, report } = await rewritten(model, {
      target: 'cpu',
      scale: adaptersAreInputs ? 'runtime' : scale,
    });
    expect(report.modules.map((module) => module.status)).toEqual(modules.map(() => 'fused'));
    const found = report.modules.map((module) => (module.status === 'fused' ? module : undefined)!);
    const identity = found.map(({ path, adapter, rank, scaling }) => ({ path, adapter, rank, scaling }));
    const expected = modules.map(({ path, adapter, rank, scaling }) => ({
      path,
      adapter,
      rank: isOfAnyRank ? null : rank,
      scaling: Math.fround(scaling),
    }));
    expect(sorted(identity)).toEqual(sorted(expected));
    for (const module of found) {
      // Where the export had folded or cached the norm, there is none to compute.
      if (module.scale !== 'constant') expect(module.scale).toBe(adaptersAreInputs ? 'runtime' : scale);
    }

    const type = typeOf(model);
    const reference = of.expected();
    const run = async (graph: ModelProto) => numbersOf((await runModel(graph, of.feeds())).y!);
    const floor = ROUNDINGS[type] * UNIT_ROUNDOFF[type];
    if (type === 'bfloat16') {
      // ONNX Runtime cannot run the original on a CPU.
      expect(relativeError(await run(overFloat32(result)), reference)).toBeLessThan(floor);
      return;
    }
    const original = relativeError(await run(model), reference);
    const error = relativeError(await run(result), reference);
    expect(error).toBeLessThanOrEqual(Math.max(2 * original + UNIT_ROUNDOFF[type], floor));
  });
});

const sorted = (items: readonly object[]) => items.map((item) => JSON.stringify(item)).sort();

function typeOf(model: ModelProto): keyof typeof UNIT_ROUNDOFF {
  const type = model.graph!.input[0]!.type!.tensorType!.elemType;
  return type === DataType.BFLOAT16 ? 'bfloat16' : type === DataType.FLOAT16 ? 'float16' : 'float32';
}
