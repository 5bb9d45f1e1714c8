import { basename } from 'node:path';
import { type ModuleContents, parseAdapterConfig, reconstructConfig, writeAdapter } from '@ort-dora/adapters';
import { type ModelFile, ModelView, openModel } from '@ort-dora/onnx';
import { readProvenance } from '../attach/provenance.js';
import { findFused } from '../fused/find-fused.js';
import type { FusedModule } from '../fused/fused-module.js';
import { denseNorms } from '../norm/dense.js';
import type { NormCompute } from '../norm/norm.js';
import { RewriteError } from '../rewrite/error.js';
import { readSmallTensors, rewriteModelProto } from '../rewrite/rewrite-proto.js';
import { fileTensors } from '../tensors/file.js';
import { isPlainLora, moduleContents } from './module-contents.js';

export interface ExtractOptions {
  /** The adapter to extract, where a model has several on one layer. */
  readonly adapter?: string;
  /** Computes ‖W + s·B·A‖ where a model holds g but no m; best the one that computed g. Default: {@link denseNorms}. */
  readonly compute?: NormCompute;
  readonly onProgress?: (progress: ExtractProgress) => void;
  readonly signal?: AbortSignal;
}

export type ExtractProgress =
  | { readonly stage: 'search'; readonly file: string }
  | { readonly stage: 'extract'; readonly path: string; readonly done: number; readonly total: number };

/** What was written. */
export interface ExtractReport {
  readonly schemaVersion: 1;
  /** File names of the models. */
  readonly models: readonly string[];
  /** `attached`: adapter_config.json is what was attached, to the byte; `reconstructed`: made from what the model holds. */
  readonly config: 'attached' | 'reconstructed';
  readonly useDora: boolean;
  readonly adapter: string | null;
  /** By path. */
  readonly modules: readonly ExtractedModule[];
}

export interface ExtractedModule {
  readonly path: string;
  readonly kind: FusedModule['kind'];
  readonly rank: number;
  readonly scaling: number;
  readonly dtypes: { readonly adapter: string; readonly magnitude: string | null };
  /** `stored`: the model has m itself; `recomputed`: g·‖W + s·B·A‖; null without DoRA. */
  readonly magnitude: 'stored' | 'recomputed' | null;
  /** Inputs of the graph whose default values were taken as the adapter's: what a run is given instead is not known here. */
  readonly defaults: readonly string[];
}

/**
 * Writes the adapter of a model back as a PEFT folder. The model, in one file or several, is one that was rewritten or
 * attached to, or an original export, whose DoRA is found first. A and B are those of the model, bit for bit; m is the
 * model's own where it has it, else g·‖W + s·B·A‖. Where they are graph inputs with default values, those are the adapter, and the
 * report says so. The config is the attached one, or made from the modules.
 *
 * @throws RewriteError `extract` for models without an adapter, with several, or with one that cannot be read back;
 * OnnxError for bad files; AdapterError `exists`, `io`, and for modules that do not fit the attached config
 */
export async function extractAdapter(
  inputs: readonly string[],
  folder: string,
  options: ExtractOptions = {},
): Promise<ExtractReport> {
  const { signal, onProgress, compute = denseNorms } = options;
  const files: ModelFile[] = [];
  try {
    const modules: FusedModule[] = [];
    const defaults = new Map<FusedModule, readonly string[]>();
    const configs = new Set<string>();
    for (const input of inputs) {
      signal?.throwIfAborted();
      onProgress?.({ stage: 'search', file: basename(input) });
      const file = await openModel(input);
      files.push(file);
      const attached = readProvenance(file.model)?.adapterConfig;
      if (attached !== undefined) configs.add(attached);
      const overridable = takeDefaults(file);
      for (const module of await modulesOf(file, signal)) {
        modules.push(module);
        defaults.set(
          module,
          adapterTensors(module).filter((name) => overridable.has(name)),
        );
      }
    }
    const wanted = await uniqueModules(ofOneAdapter(modules, options.adapter));
    if (wanted.length === 0) {
      throw new RewriteError('extract', `${names(inputs)}: no adapter was found in it; ort-dora inspect says what was`);
    }
    if (configs.size > 1) throw new RewriteError('extract', `${names(inputs)}: the files are of different adapters`);
    const [attached] = configs;
    const useDora = attached === undefined ? !(await isPlainLora(wanted)) : parseAdapterConfig(attached).useDora;
    const contents: ModuleContents[] = [];
    const reports: ExtractedModule[] = [];
    for (const [index, module] of wanted.entries()) {
      signal?.throwIfAborted();
      onProgress?.({ stage: 'extract', path: module.path, done: index, total: wanted.length });
      const content = await moduleContents(module, { useDora, compute, ...(signal && { signal }) });
      contents.push(content);
      reports.push({ ...reportOf(module, content), defaults: defaults.get(module) ?? [] });
    }
    const config = attached ?? reconstructConfig(wanted, { useDora });
    await writeAdapter(folder, { config, modules: contents }, signal ? { signal } : {});
    return {
      schemaVersion: 1,
      models: inputs.map((input) => basename(input)),
      config: attached === undefined ? 'reconstructed' : 'attached',
      useDora,
      adapter: wanted[0]?.adapter ?? null,
      modules: reports,
    };
  } finally {
    for (const file of files) await file.close();
  }
}

/** Makes initializers that runs may replace constants of the opened model, which is written nowhere; returns their names. */
function takeDefaults({ model }: ModelFile): ReadonlySet<string> {
  const { graph } = model;
  if (graph === undefined) return new Set();
  const stored = new Set(graph.initializer.map(({ name }) => name));
  const overridable = graph.input.filter(({ name }) => stored.has(name)).map(({ name = '' }) => name);
  graph.input = graph.input.filter(({ name }) => !stored.has(name));
  return new Set(overridable);
}

const adapterTensors = ({ loraA, loraB, gain }: FusedModule): string[] =>
  [loraA.tensor, loraB.tensor, gain.kind === 'stored' ? gain.tensor : gain.magnitude].map(({ name }) => name);

async function modulesOf(file: ModelFile, signal: AbortSignal | undefined): Promise<readonly FusedModule[]> {
  const { model } = file;
  const tensors = fileTensors(file);
  const name = basename(file.path);
  // With DoraScale in the graph an original export keeps its m, and no norm is computed.
  const found = await rewriteModelProto(model, tensors, name, { scale: 'runtime', ...(signal && { signal }) });
  const { modules, unread } = findFused(new ModelView(model), tensors, await readSmallTensors(model, tensors));
  const [missed] = [
    ...unread.map(({ path, failure }) => ({ path, reason: failure.reason })),
    ...found.modules.filter((module) => module.status === 'skipped'),
  ];
  if (missed !== undefined) {
    throw new RewriteError('extract', `${name}: the adapter of ${missed.path} cannot be read back: ${missed.reason}`);
  }
  for (const { path } of modules) {
    // Names of nodes, which stand in where an export kept none of PyTorch's, are no paths.
    if (!/^[^\s/:]+$/.test(path)) {
      throw new RewriteError('extract', `${name}: the export kept no module path of '${path}', and PEFT needs one`);
    }
  }
  return modules;
}

function ofOneAdapter(modules: readonly FusedModule[], wanted: string | undefined): readonly FusedModule[] {
  const adapters = [...new Set(modules.map(({ adapter }) => adapter ?? ''))].sort();
  if (wanted === undefined) {
    if (adapters.length <= 1) return modules;
    throw new RewriteError(
      'extract',
      `the model has the adapters ${adapters.join(', ')}: name one of them (--adapter)`,
    );
  }
  const found = modules.filter(({ adapter }) => (adapter ?? '') === wanted);
  if (found.length > 0 || modules.length === 0) return found;
  throw new RewriteError('extract', `the model has no adapter '${wanted}', only ${adapters.join(', ')}`);
}

/** One module a path; those that a graph calls twice, or that several files hold, must be the same. */
async function uniqueModules(modules: readonly FusedModule[]): Promise<readonly FusedModule[]> {
  const unique = new Map<string, FusedModule>();
  for (const module of modules) {
    const known = unique.get(module.path);
    if (known === undefined) unique.set(module.path, module);
    else if (!(await isSame(known, module))) {
      throw new RewriteError('extract', `${module.path} is there twice, with different adapters`);
    }
  }
  return [...unique.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function isSame(one: FusedModule, other: FusedModule): Promise<boolean> {
  if (one.scaling !== other.scaling || one.kind !== other.kind || one.gain.kind !== other.gain.kind) return false;
  for (const tensorOf of [
    ({ loraA }: FusedModule) => loraA.tensor,
    ({ loraB }: FusedModule) => loraB.tensor,
    ({ gain }: FusedModule) => (gain.kind === 'stored' ? gain.tensor : gain.magnitude),
  ]) {
    const [left, right] = [tensorOf(one), tensorOf(other)];
    if (left.type !== right.type || left.dims.join() !== right.dims.join()) return false;
    if (Buffer.compare(await left.read(), await right.read()) !== 0) return false;
  }
  return one.loraA.transposed === other.loraA.transposed && one.loraB.transposed === other.loraB.transposed;
}

function reportOf(
  { path, kind, rank, scaling, gain }: FusedModule,
  content: ModuleContents,
): Omit<ExtractedModule, 'defaults'> {
  const { loraA, magnitude } = content;
  const source = gain.kind === 'computed' ? 'stored' : 'recomputed';
  return {
    path,
    kind,
    rank,
    scaling,
    dtypes: { adapter: loraA.type, magnitude: magnitude?.type ?? null },
    magnitude: magnitude === undefined ? null : source,
  };
}

const names = (inputs: readonly string[]) => inputs.map((input) => basename(input)).join(', ');
