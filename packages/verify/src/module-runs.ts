/** Runs modules that were cut out of a graph, all in one session, on values captured from the original graph or generated. */

import type { ModelProto } from '@ort-dora/onnx';
import { ELEMENT_TYPES } from '@ort-dora/runtime';
import { VerifyError } from './error.js';
import type { CutModel, PartInput } from './graph/cut.js';
import type { OpenedModel } from './opened-model.js';
import type { Execution } from './result.js';
import { inMemory, runSession, type SessionSettings, withSession } from './session-pool.js';
import type { TensorData } from './tensor.js';
import type { OriginalRun } from './verify-models.js';

/** Tensors of one run by name. */
export type Values = ReadonlyMap<string, TensorData>;

/** An edited copy of a model, and how to run it. */
export interface ModuleRun {
  readonly file: OpenedModel;
  /** What the copy is, for messages. */
  readonly label: string;
  readonly execution: Execution;
  readonly settings: SessionSettings;
}

/** Runs the edited copy on each of the feeds. */
export function runCopy(
  { file, label, execution, settings }: ModuleRun,
  model: ModelProto,
  feeds: readonly Values[],
): Promise<Values[]> {
  return withSession(inMemory(file.encode(model), label, file.path), execution, settings, async (session) => {
    const results: Values[] = [];
    for (const feed of feeds) results.push(await runSession(session, feed, settings, label));
    return results;
  });
}

/** Runs cut-out modules on what was captured or generated for them in each run. */
export function runCut(
  run: ModuleRun,
  { model, keptInputs, inputFor }: CutModel,
  runs: readonly OriginalRun[],
  captured: readonly Values[],
): Promise<Values[]> {
  const inputs = new Set(model.graph!.input.map(({ name = '' }) => name));
  const feeds = runs.map(({ feeds: given }, index) => {
    const feed = new Map(keptInputs.map((name) => [name, given.get(name)!]));
    for (const [name, tensor] of [...given, ...captured[index]!]) {
      const input = inputFor(name);
      if (input !== undefined && inputs.has(input)) feed.set(input, tensor);
    }
    return feed;
  });
  return runCopy(run, model, feeds);
}

/** What a run gives, or why it cannot be run. */
export async function orMessage<T>(run: Promise<T>): Promise<T | string> {
  try {
    return await run;
  } catch (error) {
    if (error instanceof VerifyError && error.code === 'CANNOT_RUN') return error.message;
    throw error;
  }
}

/** Type and rank of everything that was captured or fed in a run. */
export const partInputs = (captured: Values, feeds: Values): Map<string, PartInput> =>
  new Map(
    [...feeds, ...captured].map(([name, { type, dims }]) => [
      name,
      { elementType: ELEMENT_TYPES[type], rank: dims.length },
    ]),
  );
