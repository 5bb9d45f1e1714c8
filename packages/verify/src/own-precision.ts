/** Rewritten modules in a precision that the original cannot run in here (bfloat16 on a CPU), measured against float64. */

import type { Candidate } from './candidates.js';
import { type Difference, noDifference, worse } from './difference.js';
import { cut } from './graph/cut.js';
import { aloneLimit, judgeAlone } from './judge.js';
import { boundaries, type ModuleDescription } from './module-description.js';
import { distance, referenceOf } from './module-reference.js';
import { type ModuleRun, orMessage, partInputs, runCut, type Values } from './module-runs.js';
import type { OpenedModel } from './opened-model.js';
import { nameOf } from './outputs.js';
import type { ParameterSource } from './parameters.js';
import type { Execution, OwnPrecisionResult } from './result.js';
import type { SessionSettings } from './session-pool.js';
import { fromFloat64, isElementType, isFloatType, isHalfType, toFloat64 } from './tensor.js';
import type { OriginalRun } from './verify-models.js';

export interface OwnPrecision {
  /** null where no execution runs the module, or its types are not half types. */
  judge(module: ModuleDescription, source: ParameterSource): Promise<OwnPrecisionResult | null>;
  /** Executions that cannot run these modules, and why. */
  readonly notes: readonly string[];
}

interface Surroundings {
  readonly executions: readonly Execution[];
  readonly settings: SessionSettings;
  readonly runs: readonly OriginalRun[];
  /** Inputs of the modules, in float32. */
  readonly captured: readonly Values[];
}

export async function runInOwnPrecision(
  candidates: readonly Candidate[],
  rewritten: OpenedModel,
  { executions, settings, runs, captured }: Surroundings,
): Promise<OwnPrecision> {
  const narrowed = captured.map((values) => narrow(values, candidates));
  const model = cut(
    rewritten.proto,
    candidates.map(({ part }) => part),
    partInputs(narrowed[0]!, runs[0]!.feeds),
  );
  const outputs = new Map<Execution, readonly Values[]>();
  const notes: string[] = [];
  for (const execution of executions) {
    const run: ModuleRun = { file: rewritten, label: 'the rewritten modules', execution, settings };
    const result = await orMessage(runCut(run, model, runs, narrowed));
    if (typeof result === 'string') notes.push(`not run in their own precision ${nameOf(execution)}: ${result}`);
    else outputs.set(execution, result);
  }
  return {
    notes,
    async judge(module, source) {
      const first = [...outputs.values()][0]?.[0]?.get(module.values.y);
      if (first === undefined || !isHalfType(first.type)) return null;
      const { type } = first;
      let worst: Difference = noDifference;
      for (const [run, { feeds }] of runs.entries()) {
        const value = (name: string) => narrowed[run]!.get(name) ?? feeds.get(name);
        const reference = referenceOf(module, await source.read(value), value);
        for (const results of outputs.values())
          worst = worse(worst, distance(results[run]!.get(module.values.y)!, reference));
      }
      const { passed, reason } = judgeAlone(type, worst);
      return { type, error: worst.relative, limit: aloneLimit(type), passed, reason, executions: [...outputs.keys()] };
    },
  };
}

/** The values that enter the modules, rounded to the modules' types. */
function narrow(values: Values, candidates: readonly Candidate[]): Values {
  const narrowed = new Map(values);
  for (const { module } of candidates) {
    const { weight } = module.dtypes;
    for (const name of boundaries(module)) {
      const tensor = values.get(name);
      if (!tensor || !isFloatType(tensor.type) || !isElementType(weight)) continue;
      narrowed.set(name, fromFloat64(weight, tensor.dims, toFloat64(tensor)));
    }
  }
  return narrowed;
}
