/** Attaching an adapter to the files of a base export. */

import { basename } from 'node:path';
import type { Adapter, AdapterModule } from '@ort-dora/adapters';
import { type ModelFile, openModel } from '@ort-dora/onnx';
import { denseNorms } from '../norm/dense.js';
import type { NormCompute } from '../norm/norm.js';
import { REPORT_SCHEMA_VERSION, type RewriteReport } from '../report/report.js';
import { RewriteError } from '../rewrite/error.js';
import { countNodes, standardOpset } from '../rewrite/rewrite-graphs.js';
import { refuseSameFile } from '../rewrite/rewrite-model.js';
import { readSmallTensors, totals } from '../rewrite/rewrite-proto.js';
import { writeWithData } from '../rewrite/write-with-data.js';
import { fileTensors } from '../tensors/file.js';
import { attachModule, targetOf } from './adapter-module.js';
import { AdapterStore } from './adapter-store.js';
import { attachToGraph, type BaseModel, openBase } from './attach-graph.js';
import { type FoundTarget, findTargets } from './find-targets.js';
import { planFiles, type TargetsInFile, targetsMessage } from './plan.js';

/** One model of the base export, and where it goes. */
export interface AttachFile {
  readonly input: string;
  readonly output: string;
}

export interface AttachOptions {
  /**
   * `linear` (default): DoraLinear over float weights. `compose`: the base layer stays visible beside DoraCompose.
   * `reference`: PEFT's own order of operations in standard operators, with the norm in the graph, to verify the others by.
   */
  readonly form?: 'linear' | 'compose' | 'reference';
  /** Decides the function bodies of bfloat16 forms. `auto` (default): cuda. */
  readonly target?: 'auto' | 'cuda' | 'cpu';
  /** As in `RewriteOptions`. */
  readonly compact?: boolean;
  /** Computes g. Default: {@link denseNorms}, in float64 and slow. */
  readonly compute?: NormCompute;
  readonly onProgress?: (progress: AttachProgress) => void;
  readonly signal?: AbortSignal;
}

/** What happens while an adapter is attached. */
export type AttachProgress =
  | { readonly stage: 'search'; readonly file: string }
  | {
      readonly stage: 'attach';
      readonly file: string;
      readonly path: string;
      readonly done: number;
      readonly total: number;
    }
  | { readonly stage: 'write'; readonly file: string };

/**
 * Attaches a PEFT adapter to the files of one base export and writes all of them. Each module of the adapter must be found,
 * in the files together; files that hold other parts of the model are written as they are. The inputs are never modified;
 * each output appears whole or not at all.
 *
 * @returns a report for each file, in their order
 * @throws RewriteError `targets` that lists every module which is missing or ambiguous, with what comes close; `attach`,
 * `opset`, `norm`, `same-file`, `exists`; OnnxError for bad files; AdapterError for tensors that cannot be read
 */
export async function attachAdapter(
  files: readonly AttachFile[],
  adapter: Adapter,
  options: AttachOptions = {},
): Promise<readonly RewriteReport[]> {
  for (const { input, output } of files) await refuseSameFile(input, output);
  const modules = [...adapter.modules.values()];
  const searched: TargetsInFile[] = [];
  for (const { input } of files) {
    options.onProgress?.({ stage: 'search', file: basename(input) });
    searched.push(await searchFile(input, modules, options.signal));
  }
  const plan = planFiles(
    modules.map(({ path }) => path),
    searched,
  );
  if (plan.problems.length > 0) throw new RewriteError('targets', targetsMessage(modules.length, plan.problems));
  const reports: RewriteReport[] = [];
  for (const [index, file] of files.entries()) {
    const wanted = new Set(plan.paths[index]);
    reports.push(
      await attachToFile(
        file,
        modules.filter(({ path }) => wanted.has(path)),
        adapter,
        options,
      ),
    );
  }
  return reports;
}

async function searchFile(
  input: string,
  modules: readonly AdapterModule[],
  signal: AbortSignal | undefined,
): Promise<TargetsInFile> {
  await using file = await openModel(input);
  const { found, problems } = await findTargets(modules.map(targetOf), await openLayers(file), signal);
  return { file: basename(input), found: found.map(({ target, fit }) => ({ path: target.path, fit })), problems };
}

/** The layers of an opened model. */
export async function openLayers(file: ModelFile): Promise<BaseModel> {
  const tensors = fileTensors(file);
  return openBase(file.model, tensors, await readSmallTensors(file.model, tensors));
}

async function attachToFile(
  { input, output }: AttachFile,
  modules: readonly AdapterModule[],
  adapter: Adapter,
  options: AttachOptions,
): Promise<RewriteReport> {
  const { signal, onProgress, compact = false } = options;
  const name = basename(input);
  await using file = await openModel(input);
  const base = await openLayers(file);
  const nodesBefore = countNodes(base.view);
  const { found } = await findTargets(modules.map(targetOf), base, signal);
  const byPath = new Map(found.map((each) => [each.target.path, each]));
  const store = new AdapterStore();
  const form = options.form ?? 'linear';
  const target = options.target === 'cpu' ? 'cpu' : 'cuda';
  let done = 0;
  const reports =
    modules.length === 0
      ? []
      : await attachToGraph(base, inGraphOrder(modules, byPath), {
          form,
          target,
          compute: options.compute ?? denseNorms,
          store,
          adapterConfig: adapter.config.text,
          onModule: (path) => onProgress?.({ stage: 'attach', file: name, path, done: done++, total: modules.length }),
          signal,
        });
  onProgress?.({ stage: 'write', file: basename(output) });
  await writeWithData(file, output, {
    compact,
    ...(signal && { signal }),
    stageMore: (staging) => store.stage(file.model, output, staging, signal),
  });
  return {
    schemaVersion: REPORT_SCHEMA_VERSION,
    model: name,
    mode: 'attach',
    options: { form, target, scale: form === 'reference' ? 'runtime' : 'stored', compact },
    producer: { name: file.model.producerName ?? '', version: file.model.producerVersion ?? '' },
    opset: standardOpset(file.model.opsetImport),
    modules: reports,
    totals: totals(reports, nodesBefore, countNodes(base.view)),
  };
}

/** Modules in the order in which the graph computes them. */
function inGraphOrder(modules: readonly AdapterModule[], found: ReadonlyMap<string, FoundTarget>) {
  const position = ({ layers: [first] }: FoundTarget) => (first === undefined ? 0 : first.scope.position(first.node));
  return modules
    .map((module) => ({ module: attachModule(module), found: found.get(module.path)! }))
    .map((each) => ({ each, at: position(each.found) }))
    .sort((left, right) => left.at - right.at)
    .map(({ each }) => each);
}
