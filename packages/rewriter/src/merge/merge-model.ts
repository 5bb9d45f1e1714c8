import { basename } from 'node:path';
import { ModelView, openModel } from '@ort-dora/onnx';
import { AdapterStore } from '../attach/adapter-store.js';
import { forgetProvenance } from '../attach/provenance.js';
import { findFused, type UnreadModule } from '../fused/find-fused.js';
import { baseWeight, chainOf, type FusedModule } from '../fused/fused-module.js';
import { gainOf } from '../fused/gain.js';
import { denseNorms } from '../norm/dense.js';
import type { NormCompute } from '../norm/norm.js';
import type { NormProgress } from '../norm/pending-gains.js';
import { countNodes, nodeReference, standardOpset } from '../rewrite/rewrite-graphs.js';
import { refuseSameFile } from '../rewrite/rewrite-model.js';
import { readSmallTensors, rewriteModelProto } from '../rewrite/rewrite-proto.js';
import { writeWithData } from '../rewrite/write-with-data.js';
import { fileTensors } from '../tensors/file.js';
import type { MergeCompute } from './merge-compute.js';
import { mergeExactly } from './merge-exactly.js';
import { MergeEditor, mergeRefusal } from './merge-graph.js';
import {
  MERGE_SCHEMA_VERSION,
  type MergedModuleReport,
  type MergeReport,
  mergeTotals,
  type UnmergedModuleReport,
} from './merge-report.js';
import { MergedWeight, mergeRequest } from './merged-weight.js';
import type { RoundingError } from './rounding-sample.js';

export interface MergeOptions {
  /** `true`: the output holds only weights that are still used, each once; else those of the input stay where they are. */
  readonly compact?: boolean;
  /** Computes g where the graph does. Default: {@link denseNorms}. */
  readonly compute?: NormCompute;
  /** Computes W'. Default: {@link mergeExactly}, in float64 and slow. */
  readonly merge?: MergeCompute;
  readonly onProgress?: (progress: MergeProgress) => void;
  readonly signal?: AbortSignal;
}

export type MergeProgress =
  | { readonly stage: 'search' }
  | NormProgress
  | { readonly stage: 'merge'; readonly path: string; readonly done: number; readonly total: number }
  /** W' is computed while it is written: `done` and `total` are bytes. */
  | { readonly stage: 'write'; readonly file: string; readonly done: number; readonly total: number };

/**
 * Folds the adapters of a model into its weights, W' = g·(W + s·B·A), and writes it as a model of plain layers. The model
 * is one that was rewritten or attached to, or an original export, whose DoRA is then found first as a rewrite finds it.
 * W' is rounded once to the type of W. What cannot be merged stays an operator, and the report says why.
 *
 * The input is never modified; the output appears whole or not at all.
 *
 * @throws OnnxError for a bad input file or a failed write; RewriteError `same-file`, `exists`, `opset`, `norm`
 */
export async function mergeModel(
  inputPath: string,
  outputPath: string,
  options: MergeOptions = {},
): Promise<MergeReport> {
  const { signal, onProgress, compact = false, compute = denseNorms, merge = mergeExactly } = options;
  await refuseSameFile(inputPath, outputPath);
  await using file = await openModel(inputPath);
  const { model } = file;
  const tensors = fileTensors(file);
  onProgress?.({ stage: 'search' });
  const nodesBefore = countNodes(new ModelView(model));
  const { irVersion } = model;
  const found = await rewriteModelProto(model, tensors, basename(file.path), {
    compute,
    onProgress: (event) => event.stage === 'norm' && onProgress?.(event),
    ...(signal && { signal }),
  });

  const view = new ModelView(model);
  // Copies of the tensors' messages: staging moves the originals to where they will be, and W is read until the end.
  const { modules, unread } = findFused(
    view,
    (tensor) => tensors({ ...tensor }),
    await readSmallTensors(model, tensors),
  );
  const adapted = new Set(modules.flatMap(({ base }) => (base.kind === 'adapted' ? [base.module] : [])));
  const outermost = modules.filter((module) => !adapted.has(module));
  const refusals = new Map(await Promise.all(outermost.map(async (each) => [each, await mergeRefusal(each)] as const)));
  const store = new AdapterStore(undefined, '_merged_data');
  let [written, total] = [0, 0];
  const onWritten = (bytes: number) => {
    signal?.throwIfAborted();
    written += bytes;
    onProgress?.({ stage: 'write', file: basename(outputPath), done: written, total });
  };
  const editor = new MergeEditor(view, store);
  const merged: { readonly module: FusedModule; readonly weight: MergedWeight | undefined }[] = [];
  for (const module of outermost) {
    signal?.throwIfAborted();
    if (refusals.get(module) !== undefined) continue;
    onProgress?.({ stage: 'merge', path: module.path, done: merged.length, total: outermost.length });
    const { name, weight } = await editor.weight(module, async () => {
      const gains: Float32Array[] = [];
      for (const each of chainOf(module)) gains.push(await gainOf(each, compute, signal));
      return new MergedWeight(mergeRequest(module, gains, signal), merge, onWritten);
    });
    total += weight?.byteLength ?? 0;
    editor.replace(module, name);
    merged.push({ module, weight });
  }
  // A plain graph needs no newer version than its export had, and has no adapter to remember.
  if (editor.removeUnusedOperators()) {
    model.irVersion = irVersion;
    forgetProvenance(model);
  }
  onWritten(0);
  await writeWithData(file, outputPath, {
    compact,
    ...(signal && { signal }),
    stageMore: (staging) => store.stage(model, outputPath, staging, signal),
  });
  const refused = outermost.flatMap((module) => {
    const failure = refusals.get(module);
    return failure === undefined ? [] : [{ ...module, failure }];
  });
  const mergedReports: MergedModuleReport[] = [];
  for (const { module, weight } of merged) {
    // Only now: the errors are those of what was written.
    mergedReports.push(mergedReport(module, weight, (await weight?.rounding()) ?? null));
  }
  const reports: MergeReport['modules'] = [
    ...mergedReports,
    ...[...refused, ...unread].map(unmergedReport),
    ...found.modules.filter((module) => module.status === 'skipped'),
  ];
  return {
    schemaVersion: MERGE_SCHEMA_VERSION,
    model: basename(file.path),
    mode: 'merge',
    options: { compact },
    producer: { name: model.producerName ?? '', version: model.producerVersion ?? '' },
    opset: standardOpset(model.opsetImport),
    modules: reports,
    totals: mergeTotals(reports, nodesBefore, countNodes(view)),
  };
}

function mergedReport(
  module: FusedModule,
  weight: MergedWeight | undefined,
  rounding: RoundingError | null,
): MergedModuleReport {
  const { path, adapter, facts, node, kind, rank, scaling, outFeatures, inFeatures, loraA } = module;
  const chain = chainOf(module);
  const base = baseWeight(module);
  const product = kind === 'embedding' ? 0 : 2 * outFeatures * inFeatures;
  const adapters = chain.map((each) => ({
    bytes: each.loraA.tensor.byteLength + each.loraB.tensor.byteLength + 4 * outFeatures,
    // An embedding looks A's columns up.
    flops: 2 * each.rank * (outFeatures + (kind === 'embedding' ? 0 : inFeatures)) + 3 * outFeatures,
  }));
  const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);
  // A weight that an earlier module has merged is there once, before and after.
  const bytes = (count: number) => (weight === undefined ? 0 : count);
  return {
    status: 'merged',
    reason: null,
    path,
    adapter: adapter ?? null,
    kind,
    scope: facts.path,
    node: nodeReference(node),
    adapters: chain.length,
    rank,
    scaling,
    dtypes: { weight: base.type, adapter: loraA.tensor.type },
    weightShape: [outFeatures, inFeatures],
    rounding,
    fused: {
      weightBytes: bytes(base.tensor.byteLength),
      adapterBytes: bytes(sum(adapters.map((each) => each.bytes))),
      flopsPerRow: product + sum(adapters.map(({ flops }) => flops)),
    },
    merged: { weightBytes: bytes(weight?.byteLength ?? 0), adapterBytes: 0, flopsPerRow: product },
  };
}

function unmergedReport({ path, adapter, facts, node, failure }: UnreadModule): UnmergedModuleReport {
  const identity = { path, adapter: adapter ?? null, scope: facts.path, node: nodeReference(node) };
  return { ...identity, status: 'skipped', reason: failure.reason };
}
