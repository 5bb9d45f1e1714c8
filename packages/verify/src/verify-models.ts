/** Runs two models on the same inputs and judges the difference, of whole outputs and module by module. */

import { describeRuntime } from '@ort-dora/runtime';
import { VerifyError } from './error.js';
import { inFloat32, usesHalf } from './graph/float32.js';
import { describeInterface, type ModelInterface } from './graph/interface.js';
import { cacheSizes } from './inputs/cache-sizes.js';
import { readModelConfig } from './inputs/config.js';
import { fitInputs } from './inputs/fit.js';
import { generateInputs } from './inputs/generate.js';
import type { TensorInfo } from './inputs/interface.js';
import { withKnownDims } from './inputs/known-dims.js';
import { readNpzFile } from './inputs/npz.js';
import { leftPadding } from './inputs/padding.js';
import { openSymbols, roleOf, sizesToTry, tokenCounts } from './inputs/sizes.js';
import { tableRows } from './inputs/table-rows.js';
import type { ModuleDescription } from './module-description.js';
import { type ModulesVerified, verifyModules } from './modules.js';
import { OpenedModel } from './opened-model.js';
import { verifyOutputs } from './outputs.js';
import type { Execution, OutputResult, RunRecord, VerificationResult } from './result.js';
import { inMemory, type Runnable, runSession, type SessionSettings, withSession } from './session-pool.js';
import { isFloatType, type TensorData, toFloat64 } from './tensor.js';

export interface VerifyOptions {
  /** A .npz file of inputs, or the inputs themselves by name. Default: generated ones, of several sizes. */
  readonly inputs?: string | ReadonlyMap<string, TensorData>;
  /** Sizes of symbolic dimensions of the inputs, by name: those that generated inputs should have. */
  readonly dims?: ReadonlyMap<string, number>;
  /** The fused modules, to be judged one by one: the fused ones of a rewrite report. */
  readonly modules?: readonly ModuleDescription[];
  /** Replaces the rule for whole outputs by |rewritten − original| ≤ tolerance · max|original|. */
  readonly tolerance?: number;
  /** Of the generated inputs. Default 0. */
  readonly seed?: number;
  readonly intraOpNumThreads?: number;
  /** Called before each step, with how much is done (0 to 1). */
  readonly onProgress?: (step: string, fraction: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Compares the model at `rewrittenPath` with the one at `originalPath`. A difference is a result with `passed: false`; an error
 * means that nothing could be compared.
 *
 * @throws VerifyError: unusable inputs, models with other inputs or outputs, a model that cannot be loaded or run
 * @throws OnnxError (of `@ort-dora/onnx`): a file that is no ONNX model
 */
export async function verifyModels(
  originalPath: string,
  rewrittenPath: string,
  options: VerifyOptions = {},
): Promise<VerificationResult> {
  const original = await OpenedModel.open(originalPath);
  try {
    const rewritten = await OpenedModel.open(rewrittenPath);
    try {
      return await compare(original, rewritten, options);
    } finally {
      await rewritten.close();
    }
  } finally {
    await original.close();
  }
}

async function compare(
  original: OpenedModel,
  rewritten: OpenedModel,
  options: VerifyOptions,
): Promise<VerificationResult> {
  const { modules = [], seed = 0, signal, onProgress = () => {} } = options;
  const settings: SessionSettings = { signal, intraOpNumThreads: options.intraOpNumThreads };
  const shape = sameInterface(original, rewritten);
  const notes = [...shape.notes];
  const executions = chooseExecutions(rewritten, notes);

  onProgress('original model', 0.05);
  const sets = await inputSets(original, shape.inputs, options, seed);
  const pair = await choosePrecision(original, rewritten, settings, notes);
  const { runs, records } = await runOriginal(pair, sets, settings);

  const outputs = await verifyOutputs({
    pair,
    runs,
    outputs: shape.outputs,
    executions,
    settings,
    tolerance: options.tolerance,
    onProgress: (step, fraction) => onProgress(step, 0.1 + 0.4 * fraction),
  });
  const judged = await verifyModules({
    pair,
    runs,
    modules,
    executions,
    settings,
    seed,
    onProgress: (step, fraction) => onProgress(step, 0.5 + 0.5 * fraction),
  });
  signal?.throwIfAborted();
  onProgress('verified', 1);
  const passed = [...outputs, ...judged.modules].every((result) => result.passed);
  return {
    passed,
    summary: summarize(outputs, judged),
    executions,
    precision: pair.precision,
    seed,
    runs: records,
    outputs,
    modules: judged.modules,
    unchecked: judged.unchecked,
    notes: [...notes, ...judged.notes],
  };
}

/** The two models as they are compared. */
export interface ModelPair {
  readonly original: OpenedModel;
  readonly rewritten: OpenedModel;
  /** See VerificationResult.precision. */
  readonly precision: 'own' | 'float32';
  readonly runnableOriginal: Runnable;
  readonly runnableRewritten: Runnable;
  /** The original in float32, where that is another model than the original. */
  readonly float32: Runnable | undefined;
}

/** Inputs that the original accepts, and its outputs. */
export interface OriginalRun {
  readonly feeds: ReadonlyMap<string, TensorData>;
  readonly outputs: ReadonlyMap<string, TensorData>;
}

function sameInterface(original: OpenedModel, rewritten: OpenedModel): ModelInterface {
  const a = describeInterface(original.proto, original.path);
  const b = describeInterface(rewritten.proto, rewritten.path);
  for (const kind of ['inputs', 'outputs'] as const) {
    const left = new Map(a[kind].map(({ name, type }) => [name, type]));
    const right = new Map(b[kind].map(({ name, type }) => [name, type]));
    for (const name of new Set([...left.keys(), ...right.keys()])) {
      const [first, second] = [left.get(name), right.get(name)];
      if (first === second) continue;
      const word = kind.slice(0, -1);
      throw new VerifyError(
        'DIFFERENT_INTERFACE',
        `${word} ${JSON.stringify(name)} is ${first ?? 'absent'} in ${original.path} and ${second ?? 'absent'} in ${rewritten.path}; only models with the same inputs and outputs can be compared`,
      );
    }
  }
  return a;
}

function chooseExecutions(rewritten: OpenedModel, notes: string[]): Execution[] {
  if (!rewritten.usesOperators) return ['stock'];
  const { opsLibrary } = describeRuntime();
  if (opsLibrary.status === 'registered') return ['stock', 'library'];
  notes.push(
    `the operator library is not in use here (${opsLibrary.error ?? opsLibrary.status}): only the functions in the file were run`,
  );
  return ['stock'];
}

/** Inputs to try on the original. */
interface InputSet {
  /** See RunRecord.leftPadding. */
  readonly leftPadding: readonly number[];
  feeds(): ReadonlyMap<string, TensorData>;
  /** The same without padding, for models that cannot cope with it. */
  readonly unpadded?: InputSet;
}

interface InputSets {
  readonly sets: readonly InputSet[];
  /** What else might be given where the original accepts none of them. */
  readonly advice: string;
}

async function inputSets(
  original: OpenedModel,
  inputs: readonly TensorInfo[],
  { inputs: given, dims = new Map() }: VerifyOptions,
  seed: number,
): Promise<InputSets> {
  if (given !== undefined) {
    const arrays = typeof given === 'string' ? await readNpzFile(given) : given;
    const fitted = fitInputs(inputs, arrays, typeof given === 'string' ? given : 'the given inputs');
    return { sets: [{ leftPadding: [], feeds: () => fitted }], advice: 'give other inputs' };
  }
  const config = await readModelConfig(original.path);
  const caches = inputs.filter((input) => roleOf(input) === 'past').map(({ name }) => name);
  const sized = withKnownDims(inputs, dims, cacheSizes(original.graph, caches, config));
  const knowledge = { tableRows: tableRows(original.proto), config };
  const hasMask = sized.some((input) => roleOf(input) === 'attentionMask');
  const sets = sizesToTry(sized).map((sizes, index): InputSet => {
    const make = (padding: readonly number[]) => ({
      leftPadding: padding,
      feeds: () => generateInputs(sized, knowledge, sizes, seed * 1000 + index, padding),
    });
    const { batch, total } = tokenCounts(sized, sizes, config);
    const padding = hasMask ? leftPadding(batch, total) : [];
    return padding.some((count) => count > 0) ? { ...make(padding), unpadded: make([]) } : make([]);
  });
  const open = openSymbols(sized);
  const advice =
    open.length > 0
      ? `nothing tells the size of ${open.join(', ')}: give it (--dim ${open[0]}=SIZE), or inputs in a .npz file (ort-dora verify --inputs)`
      : 'give inputs that it accepts in a .npz file (ort-dora verify --inputs)';
  return { sets, advice };
}

/** As the models are; in float32 if the original cannot be loaded here and is of half precision (bfloat16 on a CPU). */
async function choosePrecision(
  original: OpenedModel,
  rewritten: OpenedModel,
  settings: SessionSettings,
  notes: string[],
): Promise<ModelPair> {
  const float32 = usesHalf(original.proto) ? float32Runnable(original) : undefined;
  const own = { path: original.path };
  try {
    if (float32) await withSession(own, 'stock', settings, async () => {});
  } catch (cause) {
    if (float32 === undefined) throw cause;
    notes.push(
      `the original cannot run here in its own precision, so both models were compared in float32 (${(cause as Error).message})`,
    );
    return {
      original,
      rewritten,
      precision: 'float32',
      runnableOriginal: float32,
      runnableRewritten: float32Runnable(rewritten),
      float32: undefined,
    };
  }
  return {
    original,
    rewritten,
    precision: 'own',
    runnableOriginal: own,
    runnableRewritten: { path: rewritten.path },
    float32,
  };
}

const float32Runnable = (file: OpenedModel): Runnable =>
  inMemory(file.encode(inFloat32(file.proto)), `${file.path} in float32`, file.path);

async function runOriginal(
  { original, runnableOriginal }: ModelPair,
  { sets, advice }: InputSets,
  settings: SessionSettings,
): Promise<{ runs: OriginalRun[]; records: RunRecord[] }> {
  const runs: OriginalRun[] = [];
  const records: RunRecord[] = [];
  await withSession(runnableOriginal, 'stock', settings, async (session) => {
    const waiting = [...sets];
    for (let set = waiting.shift(); set; set = waiting.shift()) {
      const feeds = set.feeds();
      const inputs = Object.fromEntries([...feeds].map(([name, { dims }]) => [name, dims]));
      const { leftPadding, unpadded } = set;
      let skipped: string | null = null;
      try {
        const outputs = await runSession(session, feeds, settings, original.path);
        // A row of NaN would hide what the model computes of its tokens.
        if (unpadded && [...outputs.values()].some(hasNaN)) skipped = 'with padding, the original computes NaN';
        else runs.push({ feeds, outputs });
      } catch (error) {
        if (!(error instanceof VerifyError)) throw error;
        skipped = error.message;
      }
      records.push({ inputs, leftPadding, skipped });
      if (skipped !== null && unpadded) waiting.unshift(unpadded);
    }
  });
  if (runs.length === 0) {
    const example = records[0]!;
    throw new VerifyError(
      'BAD_INPUTS',
      `${example.skipped}; it accepts none of the inputs tried (${JSON.stringify(example.inputs)} first): ${advice}`,
    );
  }
  return { runs, records };
}

const hasNaN = (tensor: TensorData): boolean => isFloatType(tensor.type) && toFloat64(tensor).some(Number.isNaN);

function summarize(outputs: readonly OutputResult[], { modules, unchecked }: ModulesVerified): string {
  const failedModules = modules.filter(({ passed }) => !passed);
  const failedOutputs = outputs.filter(({ passed }) => !passed);
  const others = (list: readonly unknown[]) => (list.length > 1 ? ` (and ${list.length - 1} more)` : '');
  if (failedModules.length > 0) {
    const worst = failedModules.reduce((a, b) => (b.ratio > a.ratio ? b : a));
    return `not equal: module ${worst.path}${others(failedModules)}: ${worst.reason}`;
  }
  if (failedOutputs.length > 0) {
    const [first] = failedOutputs as [OutputResult];
    return `not equal: output ${first.name}${others(failedOutputs)}: ${first.reason}`;
  }
  const worstOutput = Math.max(0, ...outputs.map(({ maxRelative }) => maxRelative));
  const parts = [
    modules.length > 0 &&
      `worst module error ${Math.max(...modules.map(({ ratio }) => ratio)).toFixed(2)}× the original's`,
    worstOutput === 0 ? 'outputs equal to the bit' : `outputs within ${worstOutput.toExponential(1)} of max|y|`,
    unchecked.length > 0 &&
      `${unchecked.length} of ${modules.length + unchecked.length} modules judged with the whole model only`,
  ];
  return `verified: ${parts.filter(Boolean).join(', ')}`;
}
