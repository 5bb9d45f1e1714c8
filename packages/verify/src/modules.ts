/**
 * Judges modules one by one: each gets the inputs that the original graph gives it, and its outputs in the original and in
 * the rewritten graph are measured against the DoRA formula in float64.
 */

import type { ModelProto } from '@ort-dora/onnx';
import { ELEMENT_TYPES } from '@ort-dora/runtime';
import { type Difference, difference, noDifference, worse } from './difference.js';
import { VerifyError } from './error.js';
import { type CutModel, cut, type Part } from './graph/cut.js';
import { expose } from './graph/expose.js';
import { inFloat32 } from './graph/float32.js';
import { errorRatio, judgeModule, judgeReference, moduleLimit } from './judge.js';
import { boundaries, type ModuleDescription } from './module-description.js';
import type { OpenedModel } from './opened-model.js';
import { nameOf } from './outputs.js';
import { type DoraParameters, doraForward, doraGain, matrix } from './reference.js';
import type { Execution, ModuleName, ModuleResult, UncheckedModule } from './result.js';
import { inMemory, runSession, type SessionSettings, withSession } from './session-pool.js';
import { type ElementType, elementCount, fromFloat64, isHalfType, type TensorData, toFloat64 } from './tensor.js';
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

type Values = ReadonlyMap<string, TensorData>;

/** Multiplications of the float64 reference for one module and run: more rows of x than these allow are sampled. */
const multiplications = 1e8;
const fewestRows = 4;

export async function verifyModules(request: ModuleRequest): Promise<ModulesVerified> {
  const { pair, runs, executions, settings, onProgress } = request;
  const unchecked: UncheckedModule[] = [];
  const original = pair.precision === 'float32' ? inFloat32(pair.original.proto) : pair.original.proto;
  const rewritten = pair.precision === 'float32' ? inFloat32(pair.rewritten.proto) : pair.rewritten.proto;

  const parameters = await parametersOfAll(request.modules, pair.original, unchecked);
  const wanted = new Set([...parameters].flatMap(([module, { computed }]) => [...boundaries(module), ...computed]));
  const exposed = expose(original, wanted);
  for (const module of [...parameters.keys()]) {
    const hidden = [...boundaries(module), ...parameters.get(module)!.computed].find((name) =>
      exposed.hidden.has(name),
    );
    if (hidden === undefined) continue;
    unchecked.push({
      ...nameOfModule(module),
      reason: `its value ${hidden} is ${exposed.hidden.get(hidden)} and cannot be captured`,
    });
    parameters.delete(module);
  }
  if (parameters.size === 0) return { modules: [], unchecked, notes: [] };

  onProgress('inputs of the modules', 0);
  const captured = await runAll(
    pair.original,
    exposed.model,
    'stock',
    settings,
    runs.map(({ feeds }) => feeds),
    'the original with exposed values',
  );

  const modules = [...parameters.keys()];
  const parts = new Map(
    modules.map((module) => [module, { from: boundaries(module), to: module.values.y } satisfies Part]),
  );
  const types = new Map([...captured[0]!, ...runs[0]!.feeds].map(([name, { type }]) => [name, ELEMENT_TYPES[type]]));
  const plain = cut(original, [...parts.values()], types);
  const fused = cut(rewritten, [...parts.values()], types);
  for (const [module, part] of parts) {
    const reason = plain.missing.get(part) ?? fused.missing.get(part);
    if (reason === undefined) continue;
    unchecked.push({ ...nameOfModule(module), reason });
    parts.delete(module);
  }
  if (parts.size === 0) return { modules: [], unchecked, notes: [] };

  onProgress('original modules', 0.15);
  const plainOutputs = await runCut(pair.original, plain, 'stock', settings, runs, captured, 'the original modules');
  const float32 = await runInFloat32(pair, original, [...parts.values()], settings, runs, captured, plainOutputs);
  const fusedOutputs = new Map<Execution, readonly Values[] | string>();
  for (const [index, execution] of executions.entries()) {
    onProgress(`rewritten modules, ${nameOf(execution)}`, 0.3 + 0.2 * (index / executions.length));
    fusedOutputs.set(execution, await attemptCut(pair.rewritten, fused, execution, settings, runs, captured));
  }

  const results: ModuleResult[] = [];
  for (const module of parts.keys()) {
    settings.signal?.throwIfAborted();
    onProgress(`module ${module.path}`, 0.5 + 0.5 * (results.length / parts.size));
    results.push(
      await judgeOne(module, parameters.get(module)!, {
        runs,
        captured,
        plainOutputs,
        float32: float32.outputs,
        fusedOutputs,
      }),
    );
    // The reference is computed on this thread: let timers and signals in between.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { modules: results, unchecked, notes: float32.notes };
}

interface Measured {
  readonly runs: readonly OriginalRun[];
  readonly captured: readonly Values[];
  readonly plainOutputs: readonly Values[];
  readonly float32: readonly Values[] | undefined;
  readonly fusedOutputs: ReadonlyMap<Execution, readonly Values[] | string>;
}

async function judgeOne(module: ModuleDescription, source: ParameterSource, measured: Measured): Promise<ModuleResult> {
  const { runs, captured, plainOutputs, float32, fusedOutputs } = measured;
  const type = plainOutputs[0]!.get(module.values.y)!.type;
  let original = noDifference;
  let inFloat32 = noDifference;
  const rewritten = new Map<Execution, Difference | string>(
    [...fusedOutputs].map(([execution, outputs]) => [execution, typeof outputs === 'string' ? outputs : noDifference]),
  );
  let rows = 0;
  for (const [run, { feeds }] of runs.entries()) {
    const value = (name: string) => captured[run]!.get(name) ?? feeds.get(name);
    const reference = await referenceOf(module, source, value);
    rows += reference.rows.length;
    const compare = (outputs: Values) =>
      difference(pick(toFloat64(outputs.get(module.values.y)!), reference), reference.values);
    original = worse(original, compare(plainOutputs[run]!));
    if (float32) inFloat32 = worse(inFloat32, compare(float32[run]!));
    for (const [execution, outputs] of fusedOutputs) {
      const soFar = rewritten.get(execution)!;
      if (typeof outputs !== 'string' && typeof soFar !== 'string')
        rewritten.set(execution, worse(soFar, compare(outputs[run]!)));
    }
  }
  return resultOf({ module, type, rows, original, float32: float32 ? inFloat32 : undefined, rewritten });
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
  const reference = float32 ? judgeReference(float32) : { passed: true, reason: '' };
  const executions: { [execution in Execution]?: { error: number; passed: boolean } } = {};
  let worst = noDifference;
  let reason = reference.reason;
  for (const [execution, figures] of rewritten) {
    const judgement =
      typeof figures === 'string'
        ? { passed: false, reason: figures }
        : judgeModule({ type, original, rewritten: figures });
    const error = typeof figures === 'string' ? Number.MAX_VALUE : figures.relative;
    executions[execution] = { error, passed: judgement.passed };
    if (!judgement.passed && reason === '') reason = `${nameOf(execution)}: ${judgement.reason}`;
    worst = typeof figures === 'string' ? { ...worst, relative: Number.MAX_VALUE } : worse(worst, figures);
  }
  const passed = reference.passed && Object.values(executions).every((execution) => execution.passed);
  return {
    ...nameOfModule(module),
    type,
    rows,
    errorOriginal: original.relative,
    errorRewritten: worst.relative,
    limit: moduleLimit({ type, original }),
    ratio: errorRatio({ original, rewritten: worst }),
    passed,
    reason: reason === '' ? 'within the rule' : reason,
    executions,
  };
}

interface Reference {
  /** Indices of the rows that were computed. */
  readonly rows: readonly number[];
  readonly width: number;
  readonly values: Float64Array;
}

async function referenceOf(
  module: ModuleDescription,
  source: ParameterSource,
  value: (name: string) => TensorData | undefined,
): Promise<Reference> {
  const { parameters, gain } = await source.read(value);
  const { rows: outputs, columns: inputs } = parameters.weight;
  const x = value(module.values.x)!;
  const total = elementCount(x.dims) / inputs;
  if (!Number.isInteger(total)) {
    throw new VerifyError(
      'BAD_MODULE',
      `module ${module.path}: its input has dims [${x.dims}], but W takes ${inputs} values a row`,
    );
  }
  const budget = Math.max(fewestRows, Math.floor(multiplications / (inputs * outputs)));
  const rows = spread(total, budget);
  const gather = (tensor: TensorData, width: number) =>
    matrix(pick(toFloat64(tensor), { rows, width }), rows.length, width, false);
  const base = module.form.base === 'adapted' ? gather(value(module.values.base)!, outputs) : undefined;
  const y = doraForward(parameters, gain, gather(x, inputs), base);
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

/** Where the reference's W, A, B, m or g and bias come from. */
interface ParameterSource {
  /** Names of those that are no initializers: computed in the graph, or graph inputs. */
  readonly computed: readonly string[];
  read(value: (name: string) => TensorData | undefined): Promise<{ parameters: DoraParameters; gain: Float64Array }>;
}

async function parametersOfAll(
  modules: readonly ModuleDescription[],
  file: OpenedModel,
  unchecked: UncheckedModule[],
): Promise<Map<ModuleDescription, ParameterSource>> {
  const sources = new Map<ModuleDescription, ParameterSource>();
  for (const module of modules) {
    const { weight, magnitude, gain } = module.values;
    if (weight === null) {
      unchecked.push({ ...nameOfModule(module), reason: 'its W is not in the file as one value' });
    } else if (magnitude === null && !file.hasValue(gain)) {
      unchecked.push({ ...nameOfModule(module), reason: `its gain ${gain} is not a value of the original graph` });
    } else {
      sources.set(module, parameterSource(module, weight, file));
    }
  }
  return sources;
}

function parameterSource(module: ModuleDescription, weight: string, file: OpenedModel): ParameterSource {
  const { loraA, loraB, magnitude, bias, gain } = module.values;
  const names = [weight, loraA, loraB, magnitude ?? gain, ...(bias === null ? [] : [bias])];
  const computed = names.filter((name) => !file.isInitializer(name));
  const read = async (value: (name: string) => TensorData | undefined) => {
    const values = async (name: string) => {
      if (file.isInitializer(name)) return file.readInitializer(name);
      const tensor = value(name);
      if (!tensor)
        throw new VerifyError('BAD_MODULE', `module ${module.path}: ${name} is neither in the file nor computed`);
      return toFloat64(tensor);
    };
    const parameters = arrange(module, {
      weight: await values(weight),
      loraA: await values(loraA),
      loraB: await values(loraB),
      norm: await values(magnitude ?? gain),
      bias: bias === null ? undefined : await values(bias),
    });
    return { parameters, gain: magnitude === null ? parameters.magnitude : doraGain(parameters) };
  };
  if (computed.length > 0) return { computed, read };
  // Stored parameters are the same in every run.
  let stored: ReturnType<typeof read> | undefined;
  return {
    computed,
    read: (value) => {
      stored ??= read(value);
      return stored;
    },
  };
}

interface RawParameters {
  readonly weight: Float64Array;
  readonly loraA: Float64Array;
  readonly loraB: Float64Array;
  /** m, or g where the export holds g alone: [out] with any dims of 1. */
  readonly norm: Float64Array;
  readonly bias: Float64Array | undefined;
}

function arrange(module: ModuleDescription, raw: RawParameters): DoraParameters {
  const { rank, scaling, layouts } = module;
  const outputs = raw.norm.length;
  const inputs = raw.weight.length / outputs;
  const fits = raw.loraA.length === rank * inputs && raw.loraB.length === rank * outputs;
  if (!Number.isInteger(inputs) || !fits || (raw.bias && raw.bias.length !== outputs)) {
    throw new VerifyError(
      'BAD_MODULE',
      `module ${module.path}: W of ${raw.weight.length}, A of ${raw.loraA.length}, B of ${raw.loraB.length} and m of ${outputs} values are no layer of rank ${rank}`,
    );
  }
  return {
    weight: matrix(raw.weight, outputs, inputs, layouts.transW === 1),
    loraA: matrix(raw.loraA, rank, inputs, layouts.transA === 1),
    loraB: matrix(raw.loraB, outputs, rank, layouts.transB === 1),
    magnitude: raw.norm,
    ...(raw.bias && { bias: raw.bias }),
    scaling,
  };
}

async function runAll(
  file: OpenedModel,
  model: ModelProto,
  execution: Execution,
  settings: SessionSettings,
  feeds: readonly Values[],
  label: string,
): Promise<Values[]> {
  return withSession(inMemory(file.encode(model), label, file.path), execution, settings, async (session) => {
    const results: Values[] = [];
    for (const feed of feeds) results.push(await runSession(session, feed, settings, label));
    return results;
  });
}

/** Runs cut-out modules on what was captured for them. */
function runCut(
  file: OpenedModel,
  { model, keptInputs, inputFor }: CutModel,
  execution: Execution,
  settings: SessionSettings,
  runs: readonly OriginalRun[],
  captured: readonly Values[],
  label: string,
): Promise<Values[]> {
  const given = new Set(model.graph!.input.map(({ name = '' }) => name));
  const feeds = runs.map(({ feeds }, run) => {
    const all = new Map([...feeds, ...captured[run]!]);
    const boundaryFeeds = [...all].flatMap(([name, tensor]): [string, TensorData][] => {
      const input = inputFor(name);
      return input !== undefined && given.has(input) ? [[input, tensor]] : [];
    });
    return new Map([...keptInputs.map((name): [string, TensorData] => [name, feeds.get(name)!]), ...boundaryFeeds]);
  });
  return runAll(file, model, execution, settings, feeds, label);
}

async function attemptCut(
  file: OpenedModel,
  model: CutModel,
  execution: Execution,
  settings: SessionSettings,
  runs: readonly OriginalRun[],
  captured: readonly Values[],
): Promise<Values[] | string> {
  try {
    return await runCut(file, model, execution, settings, runs, captured, 'the rewritten modules');
  } catch (error) {
    if (error instanceof VerifyError && error.code === 'CANNOT_RUN') return error.message;
    throw error;
  }
}

/** The original modules without the rounding of a half type, to see that the reference is what they compute. */
async function runInFloat32(
  pair: ModelPair,
  original: ModelProto,
  parts: readonly Part[],
  settings: SessionSettings,
  runs: readonly OriginalRun[],
  captured: readonly Values[],
  plainOutputs: readonly Values[],
): Promise<{ outputs: readonly Values[] | undefined; notes: string[] }> {
  if (pair.float32 === undefined) return { outputs: plainOutputs, notes: [] };
  const widened = captured.map((values) => new Map([...values].map(([name, tensor]) => [name, widen(tensor)])));
  const types = new Map([...widened[0]!, ...runs[0]!.feeds].map(([name, { type }]) => [name, ELEMENT_TYPES[type]]));
  try {
    const model = cut(inFloat32(original), parts, types);
    return {
      outputs: await runCut(pair.original, model, 'stock', settings, runs, widened, 'the original modules in float32'),
      notes: [],
    };
  } catch (error) {
    if (!(error instanceof VerifyError) || error.code !== 'CANNOT_RUN') throw error;
    return { outputs: undefined, notes: [`modules were not compared in float32: ${error.message}`] };
  }
}

const widen = (tensor: TensorData): TensorData =>
  isHalfType(tensor.type) ? fromFloat64('float32', tensor.dims, toFloat64(tensor)) : tensor;

const nameOfModule = ({ path, adapter, scope }: ModuleName): ModuleName => ({ path, adapter, scope });
