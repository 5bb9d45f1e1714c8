/** Judges the outputs of whole models. */

import { type Difference, difference, noDifference, worse } from './difference.js';
import { VerifyError } from './error.js';
import type { TensorInfo } from './inputs/interface.js';
import { judgeOutput } from './judge.js';
import type { Execution, OutputFigure, OutputResult } from './result.js';
import { runSession, type SessionSettings, withSession } from './session-pool.js';
import { isFloatType, type TensorData, toFloat64 } from './tensor.js';
import type { ModelPair, OriginalRun } from './verify-models.js';

export interface OutputRequest {
  readonly pair: ModelPair;
  readonly runs: readonly OriginalRun[];
  readonly outputs: readonly TensorInfo[];
  readonly executions: readonly Execution[];
  readonly settings: SessionSettings;
  readonly tolerance: number | undefined;
  readonly onProgress: (step: string, fraction: number) => void;
}

type Outputs = ReadonlyMap<string, TensorData>;

/** One result for each output. An execution that cannot run what the original runs is a failure of every output. */
export async function verifyOutputs(request: OutputRequest): Promise<OutputResult[]> {
  const { pair, runs, outputs, executions, settings, tolerance, onProgress } = request;
  let float32: readonly Outputs[] | undefined;
  if (pair.float32 && outputs.some(({ type }) => isFloatType(type))) {
    onProgress('original model in float32', 0);
    float32 = await withSession(pair.float32, 'stock', settings, (session) =>
      inTurn(runs, ({ feeds }) => runSession(session, feeds, settings, 'the float32 graph')),
    );
  }
  const figures = new Map<string, Partial<Record<Execution, OutputFigure>>>(outputs.map(({ name }) => [name, {}]));
  for (const [index, execution] of executions.entries()) {
    onProgress(`rewritten model, ${nameOf(execution)}`, (index + 1) / (executions.length + 1));
    const rewritten = await runRewritten(pair, execution, runs, settings);
    for (const { name, type } of outputs) {
      figures.get(name)![execution] =
        typeof rewritten === 'string'
          ? failure(rewritten)
          : judge({ name, type, original: runs.map((run) => run.outputs), rewritten, float32, tolerance });
    }
  }
  return outputs.map(({ name, type }) => {
    const executed = figures.get(name)!;
    const all = executions.map((execution) => ({ ...executed[execution]!, execution }));
    const shown = all.find(({ passed }) => !passed) ?? all.reduce((a, b) => (b.maxRelative > a.maxRelative ? b : a));
    return {
      name,
      type,
      maxAbs: Math.max(...all.map(({ maxAbs }) => maxAbs)),
      maxRelative: Math.max(...all.map(({ maxRelative }) => maxRelative)),
      cosine: Math.min(...all.map(({ cosine }) => cosine)),
      passed: all.every(({ passed }) => passed),
      reason: `${nameOf(shown.execution)}: ${shown.reason}`,
      executions: executed,
    };
  });
}

const executionNames: Readonly<Record<Execution, string>> = {
  stock: 'on stock ONNX Runtime',
  library: 'with the operator library',
};

export const nameOf = (execution: Execution) => executionNames[execution];

/** The outputs of each run, or why there are none. The first execution must at least load, or there is nothing to compare. */
async function runRewritten(
  { runnableRewritten }: ModelPair,
  execution: Execution,
  runs: readonly OriginalRun[],
  settings: SessionSettings,
): Promise<readonly Outputs[] | string> {
  try {
    return await withSession(runnableRewritten, execution, settings, (session) =>
      inTurn(runs, ({ feeds }) => runSession(session, feeds, settings, 'the rewritten model')),
    );
  } catch (error) {
    if (error instanceof VerifyError && error.code === 'CANNOT_RUN') return error.message;
    throw error;
  }
}

interface Compared {
  readonly name: string;
  readonly type: TensorInfo['type'];
  readonly original: readonly Outputs[];
  readonly rewritten: readonly Outputs[];
  readonly float32: readonly Outputs[] | undefined;
  readonly tolerance: number | undefined;
}

function judge({ name, type, original, rewritten, float32, tolerance }: Compared): OutputFigure {
  const compare = (actual: readonly Outputs[], reference: readonly Outputs[]) => compareAll(name, actual, reference);
  const between = compare(rewritten, original);
  if (typeof between === 'string') return failure(between);
  const truth = isFloatType(type) ? float32 : undefined;
  const distance = truth && compare(rewritten, truth);
  const originalDistance = truth && compare(original, truth);
  const fromFloat32 =
    typeof distance === 'object' && typeof originalDistance === 'object'
      ? { rewritten: distance, original: originalDistance }
      : undefined;
  const { passed, reason } = judgeOutput({ type, difference: between, ...(fromFloat32 && { fromFloat32 }) }, tolerance);
  return {
    maxAbs: between.maxAbs,
    maxRelative: between.relative,
    cosine: between.cosine,
    distance: fromFloat32?.rewritten.relative ?? null,
    originalDistance: fromFloat32?.original.relative ?? null,
    passed,
    reason,
  };
}

function compareAll(name: string, actual: readonly Outputs[], reference: readonly Outputs[]): Difference | string {
  let total = noDifference;
  for (const [run, outputs] of reference.entries()) {
    const [expected, found] = [outputs.get(name)!, actual[run]!.get(name)!];
    if (String(expected.dims) !== String(found.dims)) {
      return `has dims [${found.dims}] where the original has [${expected.dims}]`;
    }
    total = worse(total, difference(toFloat64(found), toFloat64(expected)));
  }
  return total;
}

const failure = (reason: string): OutputFigure => ({
  maxAbs: Number.MAX_VALUE,
  maxRelative: Number.MAX_VALUE,
  cosine: -1,
  distance: null,
  originalDistance: null,
  passed: false,
  reason,
});

async function inTurn<T, R>(items: readonly T[], each: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await each(item));
  return results;
}
