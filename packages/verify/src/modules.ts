/**
 * Judges modules one by one: each gets the inputs that the original graph gives it, and its outputs in the original and in
 * the rewritten graph are measured against the DoRA formula in float64.
 */

import type { ModelProto } from '@ort-dora/onnx';
import { type Difference, difference, noDifference, worse } from './difference.js';
import { VerifyError } from './error.js';
import { type CutModel, cut, type Part } from './graph/cut.js';
import { expose } from './graph/expose.js';
import { inFloat32 } from './graph/float32.js';
import { errorRatio, judgeModule, judgeReference, moduleLimit } from './judge.js';
import { boundaries, type ModuleDescription } from './module-description.js';
import { type ModuleRun, partInputs, runCopy, runCut, type Values } from './module-runs.js';
import { nameOf } from './outputs.js';
import { type ParameterSource, type Parameters, parameterSource, type ValueOf } from './parameters.js';
import { doraForward, matrix } from './reference.js';
import type { Execution, ModuleName, ModuleResult, UncheckedModule } from './result.js';
import type { SessionSettings } from './session-pool.js';
import {
  type ElementType,
  elementCount,
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
  readonly onProgress: (step: string, fraction: number) => void;
}

export interface ModulesVerified {
  readonly modules: readonly ModuleResult[];
  readonly unchecked: readonly UncheckedModule[];
  readonly notes: readonly string[];
}

/** Multiplications of the float64 reference for one module and run: more rows of x than these allow are sampled. */
const multiplications = 1e8;
const fewestRows = 4;

export async function verifyModules(request: ModuleRequest): Promise<ModulesVerified> {
  const { pair, runs, executions, settings, onProgress } = request;
  const unchecked: UncheckedModule[] = [];
  const leaveOut = (module: ModuleDescription, reason: string) => unchecked.push({ ...nameOfModule(module), reason });
  const widened = pair.precision === 'float32';
  const original = widened ? inFloat32(pair.original.proto) : pair.original.proto;
  const rewritten = widened ? inFloat32(pair.rewritten.proto) : pair.rewritten.proto;

  const candidates = capturable(request.modules, original, pair, leaveOut);
  if (candidates.length === 0) return { modules: [], unchecked, notes: [] };
  onProgress('inputs of the modules', 0);
  const stock: ModuleRun = {
    file: pair.original,
    label: 'the original with exposed values',
    execution: 'stock',
    settings,
  };
  const exposed = expose(
    original,
    candidates.flatMap(({ needed }) => needed),
  ).model;
  const captured = await runCopy(
    stock,
    exposed,
    runs.map(({ feeds }) => feeds),
  );

  const beginnings = partInputs(captured[0]!, runs[0]!.feeds);
  const allParts = candidates.map(({ part }) => part);
  const plain = cut(original, allParts, beginnings);
  const fused = cut(rewritten, allParts, beginnings);
  const present = candidates.filter(({ module, part }) => {
    const reason = plain.missing.get(part) ?? fused.missing.get(part);
    if (reason !== undefined) leaveOut(module, reason);
    return reason === undefined;
  });
  if (present.length === 0) return { modules: [], unchecked, notes: [] };

  onProgress('original modules', 0.15);
  const originals = await runCut({ ...stock, label: 'the original modules' }, plain, runs, captured);
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

  const modules: ModuleResult[] = [];
  for (const { module, source } of present) {
    settings.signal?.throwIfAborted();
    onProgress('modules against float64', 0.5 + 0.5 * (modules.length / present.length));
    modules.push(await judgeOne(module, source, { runs, captured, originals, float32: float32.outputs, rewrittens }));
    // The reference is computed on this thread: let timers and signals in between.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { modules, unchecked, notes: float32.notes };
}

interface Candidate {
  readonly module: ModuleDescription;
  readonly source: ParameterSource;
  readonly part: Part;
  /** Names of the values to capture. */
  readonly needed: readonly string[];
}

/** The modules whose inputs and parameters can be had; the others are left out with the reason. */
function capturable(
  modules: readonly ModuleDescription[],
  original: ModelProto,
  pair: ModelPair,
  leaveOut: (module: ModuleDescription, reason: string) => void,
): Candidate[] {
  const candidates: Candidate[] = [];
  for (const module of modules) {
    const source = parameterSource(module, pair.original, pair.rewritten);
    if (typeof source === 'string') {
      leaveOut(module, source);
      continue;
    }
    const needed = [...boundaries(module), ...source.computed];
    candidates.push({ module, source, needed, part: { from: boundaries(module), to: module.values.y } });
  }
  const { hidden } = expose(
    original,
    candidates.flatMap(({ needed }) => needed),
  );
  return candidates.filter(({ module, needed }) => {
    const name = needed.find((value) => hidden.has(value));
    if (name !== undefined) leaveOut(module, `its value ${name} is ${hidden.get(name)} and cannot be captured`);
    return name === undefined;
  });
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

/** What a run gives, or why it cannot be run. */
async function orMessage<T>(run: Promise<T>): Promise<T | string> {
  try {
    return await run;
  } catch (error) {
    if (error instanceof VerifyError && error.code === 'CANNOT_RUN') return error.message;
    throw error;
  }
}

interface Measured {
  readonly runs: readonly OriginalRun[];
  readonly captured: readonly Values[];
  readonly originals: readonly Values[];
  readonly float32: readonly Values[] | undefined;
  readonly rewrittens: ReadonlyMap<Execution, readonly Values[] | string>;
}

async function judgeOne(module: ModuleDescription, source: ParameterSource, measured: Measured): Promise<ModuleResult> {
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
    const compare = (outputs: Values) => difference(pick(toFloat64(outputs.get(y)!), reference), reference.values);
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

function resultOf({ module, type, rows, original, float32, rewritten }: ModuleDifferences): ModuleResult {
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
  };
}

/** An export that holds g and g − 1 alone may have rounded each to the adapter's type by itself. */
function storedRounding({ values, dtypes }: ModuleDescription): number {
  return values.magnitude === null && isElementType(dtypes.adapter) ? unitRoundoff(dtypes.adapter) : 0;
}

interface Reference {
  /** Indices of the rows that were computed. */
  readonly rows: readonly number[];
  readonly width: number;
  readonly values: Float64Array;
}

function referenceOf(module: ModuleDescription, parameters: Parameters, value: ValueOf): Reference {
  const { rows: outputs, columns: inputs } = parameters.weight;
  const x = value(module.values.x)!;
  const total = elementCount(x.dims) / inputs;
  if (!Number.isInteger(total)) {
    throw new VerifyError(
      'BAD_MODULE',
      `module ${module.path}: its input has dims [${x.dims}], but W takes ${inputs} values a row`,
    );
  }
  const rows = spread(total, Math.max(fewestRows, Math.floor(multiplications / (inputs * outputs))));
  const rowsOf = (tensor: TensorData, width: number) =>
    matrix(pick(toFloat64(tensor), { rows, width }), rows.length, width, false);
  const base = module.form.base === 'adapted' ? rowsOf(value(module.values.base)!, outputs) : undefined;
  const y = doraForward(parameters, parameters.gain, rowsOf(x, inputs), base);
  return { rows, width: outputs, values: y.data };
}

/** At most `count` of 0…total−1, evenly spread, the first and the last among them. */
function spread(total: number, count: number): number[] {
  if (total <= count) return Array.from({ length: total }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => Math.round((i * (total - 1)) / (count - 1)));
}

function pick(values: Float64Array, { rows, width }: Pick<Reference, 'rows' | 'width'>): Float64Array {
  const picked = new Float64Array(rows.length * width);
  for (const [to, from] of rows.entries()) picked.set(values.subarray(from * width, (from + 1) * width), to * width);
  return picked;
}

const nameOfModule = ({ path, adapter, scope }: ModuleName): ModuleName => ({ path, adapter, scope });
