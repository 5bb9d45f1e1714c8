/**
 * Judges modules one by one: each gets the inputs that the original graph gives it, and its outputs in the original and in
 * the rewritten graph are measured against the DoRA formula in float64.
 */

import type { ModelProto } from '@ort-dora/onnx';
import { type Candidate, candidates, capturable, selfContained } from './candidates.js';
import { type Difference, noDifference, worse } from './difference.js';
import { type CutModel, cut, type Part } from './graph/cut.js';
import { expose } from './graph/expose.js';
import { inFloat32 } from './graph/float32.js';
import { asInFile } from './graph/lift.js';
import { innerGroups } from './inner-modules.js';
import { errorRatio, judgeModule, judgeReference, moduleLimit } from './judge.js';
import type { ModuleDescription } from './module-description.js';
import { distance, referenceOf } from './module-reference.js';
import { type ModuleRun, orMessage, partInputs, runCopy, runCut, type Values } from './module-runs.js';
import { nameOf } from './outputs.js';
import { runInOwnPrecision } from './own-precision.js';
import type { ParameterSource, Parameters, ValueOf } from './parameters.js';
import type { Execution, ModuleName, ModuleResult, OwnPrecisionResult, UncheckedModule } from './result.js';
import type { SessionSettings } from './session-pool.js';
import {
  type ElementType,
  fromFloat64,
  isElementType,
  isHalfType,
  type TensorData,
  toFloat64,
  unitRoundoff,
} from './tensor.js';
import type { ModelPair, OriginalRun } from './verify-models.js';

export interface ModuleRequest {
  readonly pair: ModelPair;
  readonly runs: readonly OriginalRun[];
  readonly modules: readonly ModuleDescription[];
  readonly executions: readonly Execution[];
  readonly settings: SessionSettings;
  /** Of generated inputs. */
  readonly seed: number;
  readonly onProgress: (step: string, fraction: number) => void;
}

export interface ModulesVerified {
  readonly modules: readonly ModuleResult[];
  readonly unchecked: readonly UncheckedModule[];
  readonly notes: readonly string[];
}

/** Modules of the main graph get what they are given there; those inside subgraphs and functions get inputs made for them. */
export async function verifyModules(request: ModuleRequest): Promise<ModulesVerified> {
  const { pair, runs, modules, seed } = request;
  const unchecked: UncheckedModule[] = [];
  const leaveOut = (module: ModuleDescription, reason: string) =>
    unchecked.push({ ...nameOfModule(module), reason: asInFile(reason) });
  const inner = modules.filter(({ scope }) => scope !== '');
  const groups: ModuleGroup[] = [
    { pair, runs, modules: modules.filter(({ scope }) => scope === ''), inputs: undefined },
    ...innerGroups(inner, pair, seed, leaveOut).map(({ original, rewritten, modules: members, inputs }) => ({
      pair: { ...pair, original, rewritten },
      // What else the modules read of the main graph's inputs is as in a real run.
      runs: inputs.map(() => runs[0]!),
      modules: members,
      inputs,
    })),
  ];
  const results: ModuleResult[] = [];
  const notes = new Set<string>();
  for (const [index, group] of groups.entries()) {
    const onProgress: ModuleRequest['onProgress'] = (step, fraction) =>
      request.onProgress(step, (index + fraction) / groups.length);
    const judged = await judgeGroup(group, { ...request, onProgress }, leaveOut);
    results.push(...judged.modules);
    for (const note of judged.notes) notes.add(note);
  }
  return { modules: inOrder(modules, results), unchecked, notes: [...notes] };
}

/** Modules that one graph computes. */
interface ModuleGroup {
  readonly pair: ModelPair;
  readonly runs: readonly OriginalRun[];
  readonly modules: readonly ModuleDescription[];
  /** What the modules begin with in each run; undefined: what the original graph computes there. */
  readonly inputs: readonly Values[] | undefined;
}

/** One result a module: of a function that is called several times, the worst. */
function inOrder(modules: readonly ModuleDescription[], results: readonly ModuleResult[]): ModuleResult[] {
  const byKey = new Map<string, ModuleResult>();
  const key = (module: ModuleName) => JSON.stringify(nameOfModule(module));
  for (const result of results) {
    const known = byKey.get(key(result));
    const isWorse = known === undefined || (known.passed && (!result.passed || result.ratio > known.ratio));
    byKey.set(key(result), isWorse ? result : known);
  }
  return modules.flatMap((module) => byKey.get(key(module)) ?? []);
}

async function judgeGroup(
  { pair, runs, modules: members, inputs }: ModuleGroup,
  { executions, settings, onProgress }: ModuleRequest,
  leaveOut: (module: ModuleDescription, reason: string) => void,
): Promise<Pick<ModulesVerified, 'modules' | 'notes'>> {
  const widened = pair.precision === 'float32';
  const original = widened ? inFloat32(pair.original.proto) : pair.original.proto;
  const rewritten = widened ? inFloat32(pair.rewritten.proto) : pair.rewritten.proto;
  const nothing = { modules: [], notes: [] };

  const found = candidates(members, pair, leaveOut);
  const usable = inputs ? selfContained(found, leaveOut) : capturable(found, original, leaveOut);
  if (usable.length === 0) return nothing;
  onProgress('inputs of the modules', 0);
  const stock: ModuleRun = {
    file: pair.original,
    label: 'the original with exposed values',
    execution: 'stock',
    settings,
  };
  const captured = inputs ?? (await capture(stock, original, usable, runs));

  const beginnings = partInputs(captured[0]!, runs[0]!.feeds);
  const allParts = usable.map(({ part }) => part);
  const plain = cut(original, allParts, beginnings);
  const fused = cut(rewritten, allParts, beginnings);
  const present = usable.filter(({ module, part }) => {
    const reason = plain.missing.get(part) ?? fused.missing.get(part);
    if (reason !== undefined) leaveOut(module, reason);
    return reason === undefined;
  });
  if (present.length === 0) return nothing;

  onProgress('original modules', 0.15);
  const originals = await orMessage(runCut({ ...stock, label: 'the original modules' }, plain, runs, captured));
  if (typeof originals === 'string') {
    for (const { module } of present) leaveOut(module, originals);
    return nothing;
  }
  const float32 = pair.float32
    ? await runInFloat32(
        stock,
        original,
        present.map(({ part }) => part),
        runs,
        captured,
      )
    : { outputs: originals, notes: [] };
  const rewrittens = new Map<Execution, readonly Values[] | string>();
  for (const [index, execution] of executions.entries()) {
    onProgress(`rewritten modules, ${nameOf(execution)}`, 0.3 + 0.2 * (index / executions.length));
    const run: ModuleRun = { file: pair.rewritten, label: 'the rewritten modules', execution, settings };
    rewrittens.set(execution, await orMessage(runCut(run, fused, runs, captured)));
  }

  const own = widened
    ? await runInOwnPrecision(present, pair.rewritten, { executions, settings, runs, captured })
    : undefined;
  const modules: ModuleResult[] = [];
  for (const { module, source } of present) {
    settings.signal?.throwIfAborted();
    onProgress('modules against float64', 0.5 + 0.5 * (modules.length / present.length));
    const measured = { runs, captured, originals, float32: float32.outputs, rewrittens };
    const result = { ...(await judgeOne(module, source, measured)), inputs: origin(inputs) };
    modules.push(own ? withOwnPrecision(result, await own.judge(module, source)) : result);
    // The reference is computed on this thread: let timers and signals in between.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { modules, notes: [...float32.notes, ...(own?.notes ?? [])] };
}

const origin = (inputs: ModuleGroup['inputs']): ModuleResult['inputs'] => (inputs ? 'generated' : 'captured');

/** The values that the modules begin with, computed by the original graph. */
function capture(
  stock: ModuleRun,
  original: ModelProto,
  usable: readonly Candidate[],
  runs: readonly OriginalRun[],
): Promise<readonly Values[]> {
  const { model } = expose(
    original,
    usable.flatMap(({ needed }) => needed),
  );
  return runCopy(
    stock,
    model,
    runs.map(({ feeds }) => feeds),
  );
}

/** The original modules without the rounding of a half type, to see that the reference is what they compute. */
async function runInFloat32(
  stock: ModuleRun,
  original: ModelProto,
  parts: readonly Part[],
  runs: readonly OriginalRun[],
  captured: readonly Values[],
): Promise<{ outputs: readonly Values[] | undefined; notes: string[] }> {
  const widened = captured.map((values) => new Map([...values].map(([name, tensor]) => [name, widen(tensor)])));
  const model: CutModel = cut(inFloat32(original), parts, partInputs(widened[0]!, runs[0]!.feeds));
  const run = { ...stock, label: 'the original modules in float32' };
  const outputs = await orMessage(runCut(run, model, runs, widened));
  return typeof outputs === 'string'
    ? { outputs: undefined, notes: [`modules were not compared in float32: ${outputs}`] }
    : { outputs, notes: [] };
}

const widen = (tensor: TensorData): TensorData =>
  isHalfType(tensor.type) ? fromFloat64('float32', tensor.dims, toFloat64(tensor)) : tensor;

interface Measured {
  readonly runs: readonly OriginalRun[];
  readonly captured: readonly Values[];
  readonly originals: readonly Values[];
  readonly float32: readonly Values[] | undefined;
  readonly rewrittens: ReadonlyMap<Execution, readonly Values[] | string>;
}

async function judgeOne(
  module: ModuleDescription,
  source: ParameterSource,
  measured: Measured,
): Promise<Omit<ModuleResult, 'inputs'>> {
  const { runs, captured, originals, float32, rewrittens } = measured;
  const { y } = module.values;
  let original = noDifference;
  let exact = noDifference;
  const rewritten = new Map<Execution, Difference | string>(
    [...rewrittens].map(([execution, outputs]) => [execution, typeof outputs === 'string' ? outputs : noDifference]),
  );
  let rows = 0;
  let stored: Parameters | undefined;
  for (const [run, { feeds }] of runs.entries()) {
    const value: ValueOf = (name) => captured[run]!.get(name) ?? feeds.get(name);
    stored = source.computed.length === 0 && stored ? stored : await source.read(value);
    const reference = referenceOf(module, stored, value);
    rows += reference.rows.length;
    const compare = (outputs: Values) => distance(outputs.get(y)!, reference);
    original = worse(original, compare(originals[run]!));
    if (float32) exact = worse(exact, compare(float32[run]!));
    for (const [execution, outputs] of rewrittens) {
      const soFar = rewritten.get(execution)!;
      if (typeof outputs === 'string' || typeof soFar === 'string') continue;
      rewritten.set(execution, worse(soFar, compare(outputs[run]!)));
    }
  }
  const { type } = originals[0]!.get(y)!;
  return resultOf({ module, type, rows, original, float32: float32 ? exact : undefined, rewritten });
}

interface ModuleDifferences {
  readonly module: ModuleDescription;
  readonly type: ElementType;
  readonly rows: number;
  readonly original: Difference;
  readonly float32: Difference | undefined;
  readonly rewritten: ReadonlyMap<Execution, Difference | string>;
}

function resultOf({
  module,
  type,
  rows,
  original,
  float32,
  rewritten,
}: ModuleDifferences): Omit<ModuleResult, 'inputs'> {
  const reference = float32 ? judgeReference(float32, storedRounding(module)) : { passed: true, reason: '' };
  const executions: { [execution in Execution]?: { error: number; passed: boolean } } = {};
  let worst = noDifference;
  let reason = reference.reason;
  for (const [execution, figures] of rewritten) {
    const failed = typeof figures === 'string';
    const judgement = failed ? { passed: false, reason: figures } : judgeModule({ type, original, rewritten: figures });
    worst = failed ? { ...worst, relative: Number.MAX_VALUE } : worse(worst, figures);
    executions[execution] = { error: failed ? Number.MAX_VALUE : figures.relative, passed: judgement.passed };
    if (!judgement.passed && reason === '') reason = `${nameOf(execution)}: ${judgement.reason}`;
  }
  return {
    ...nameOfModule(module),
    type,
    rows,
    errorOriginal: original.relative,
    errorRewritten: worst.relative,
    limit: moduleLimit({ type, original }),
    ratio: errorRatio({ original, rewritten: worst }),
    passed: reference.passed && Object.values(executions).every(({ passed }) => passed),
    reason: reason === '' ? 'within the rule' : reason,
    executions,
    ownPrecision: null,
  };
}

function withOwnPrecision(result: ModuleResult, own: OwnPrecisionResult | null): ModuleResult {
  if (own === null || own.passed) return { ...result, ownPrecision: own };
  const reason = result.passed ? `in ${own.type}, ${own.reason}` : result.reason;
  return { ...result, passed: false, reason, ownPrecision: own };
}

/** An export that holds g and g − 1 alone may have rounded each to the adapter's type by itself. */
function storedRounding({ values, dtypes }: ModuleDescription): number {
  return values.magnitude === null && isElementType(dtypes.adapter) ? unitRoundoff(dtypes.adapter) : 0;
}

const nameOfModule = ({ path, adapter, scope }: ModuleName): ModuleName => ({ path, adapter, scope });
