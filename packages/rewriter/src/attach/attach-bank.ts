/** Making room for adapters in the files of a base export. */

import { basename } from 'node:path';
import type { BankLayout } from '@ort-dora/adapters';
import { openModel } from '@ort-dora/onnx';
import type { FloatType } from '../functions/form.js';
import { type NodeReference, REPORT_SCHEMA_VERSION, type RewriteReport } from '../report/report.js';
import { RewriteError } from '../rewrite/error.js';
import { countNodes, standardOpset } from '../rewrite/rewrite-graphs.js';
import { refuseSameFile } from '../rewrite/rewrite-model.js';
import { writeWithData } from '../rewrite/write-with-data.js';
import { baseForm } from './attach-graph.js';
import { type AttachFile, type AttachProgress, openLayers } from './attach-model.js';
import { addBank, type BankSize, type BankTarget, bankTargets } from './bank-graph.js';
import { typeOf } from './insert-module.js';

export interface BankOptions extends BankSize {
  /** Ends of module paths, as in PEFT's `target_modules`; by default all linear layers but the model's head (`all-linear`). */
  readonly targets?: readonly string[];
  /** As in `AttachOptions`. */
  readonly target?: 'auto' | 'cuda' | 'cpu';
  readonly compact?: boolean;
  readonly onProgress?: (progress: AttachProgress) => void;
  readonly signal?: AbortSignal;
}

/** What was written into one file. Plain JSON data. */
export interface BankReport extends Pick<RewriteReport, 'schemaVersion' | 'model' | 'producer' | 'opset'> {
  readonly mode: 'bank';
  /** Sizes of the bank in elements; null for a file without targets, which has none. */
  readonly bank: Omit<BankLayout, 'modules'> | null;
  /** In the order of the graph. */
  readonly modules: readonly BankModuleReport[];
  readonly nodesBefore: number;
  readonly nodesAfter: number;
}

export interface BankModuleReport {
  readonly path: string;
  readonly scope: string;
  /** The product in the base export. */
  readonly node: NodeReference;
  readonly operator: 'DoraLinearBank' | 'DoraComposeBank';
  /** How the exporter had written the layer. */
  readonly base: string;
  readonly dtype: FloatType;
  readonly weightShape: readonly [outFeatures: number, inFeatures: number];
  readonly bias: boolean;
}

/**
 * Gives the linear layers of a base export room for adapters, which are inputs of the graph then (docs/operators.md,
 * Banks). A file without targets is written as it is. The inputs are never modified; each output appears whole or not at
 * all.
 *
 * @returns a report for each file, in their order
 * @throws RangeError for sizes that are no whole numbers of at least 1; RewriteError `targets` for targets that no file
 * has, `attach`, `opset`, `same-file`, `exists`; OnnxError for bad files
 */
export async function attachBank(files: readonly AttachFile[], options: BankOptions): Promise<readonly BankReport[]> {
  for (const { input, output } of files) await refuseSameFile(input, output);
  const found = new Set<string>();
  for (const { input } of files) {
    options.onProgress?.({ stage: 'search', file: basename(input) });
    await using file = await openModel(input);
    for (const { path } of await bankTargets(await openLayers(file), options.targets, options.signal)) found.add(path);
  }
  refuseUnfound([...found], options.targets);
  const reports: BankReport[] = [];
  for (const file of files) reports.push(await attachToFile(file, options));
  return reports;
}

function refuseUnfound(found: readonly string[], targets: readonly string[] | undefined): void {
  const unfound = (targets ?? []).filter((target) => !found.some((path) => `.${path}`.endsWith(`.${target}`)));
  if (unfound.length > 0) {
    throw new RewriteError('targets', `no linear layer of this export has a path that ends with ${unfound.join(', ')}`);
  }
  if (found.length === 0) {
    throw new RewriteError(
      'targets',
      'no linear layer of this export has a module path, so there is nothing to give room to',
    );
  }
}

async function attachToFile({ input, output }: AttachFile, options: BankOptions): Promise<BankReport> {
  const { signal, onProgress, compact = false } = options;
  const name = basename(input);
  await using file = await openModel(input);
  const base = await openLayers(file);
  const nodesBefore = countNodes(base.view);
  const targets = await bankTargets(base, options.targets, signal);
  const modules = targets.flatMap(moduleReports);
  const layout =
    targets.length === 0 ? undefined : addBank(base, targets, options, options.target === 'cpu' ? 'cpu' : 'cuda');
  onProgress?.({ stage: 'write', file: basename(output) });
  await writeWithData(file, output, { compact, ...(signal && { signal }) });
  return {
    schemaVersion: REPORT_SCHEMA_VERSION,
    model: name,
    mode: 'bank',
    producer: { name: file.model.producerName ?? '', version: file.model.producerVersion ?? '' },
    opset: standardOpset(file.model.opsetImport),
    bank: layout === undefined ? null : sizesOf(layout),
    modules,
    nodesBefore,
    nodesAfter: countNodes(base.view),
  };
}

function moduleReports({ path, layers }: BankTarget): BankModuleReport[] {
  return layers.map((layer) => {
    const [outFeatures = 0, inFeatures = 0] = layer.weightShape;
    return {
      path,
      scope: layer.facts.path,
      node: { name: layer.node.name ?? '', opType: layer.node.opType ?? '', output: layer.product },
      operator: layer.weight.quantizedBy === undefined ? 'DoraLinearBank' : 'DoraComposeBank',
      base: baseForm(layer),
      dtype: typeOf(layer),
      weightShape: [outFeatures, inFeatures],
      bias: layer.bias !== undefined,
    };
  });
}

function sizesOf({ modules: _, ...sizes }: BankLayout): Omit<BankLayout, 'modules'> {
  return sizes;
}
