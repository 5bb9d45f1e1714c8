/** `ort-dora merge`: folds the adapter of a model into its weights. */

import { basename } from 'node:path';
import { type MergeReport, mergeModel, mergePage, mergeTotals } from '@ort-dora/rewriter';
import { commandLine } from '../command-line.js';
import { parseCount } from '../count-argument.js';
import { CommandError } from '../errors.js';
import { displayName, findModels, type ModelSet } from '../models.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import { type ModelPlace, writeSet } from '../output-folder.js';
import { Pace } from '../pace.js';
import type { Register } from '../program.js';
import { modelBytes, writeReportFiles } from '../report-files.js';
import { collectGarbage } from '../small-heap.js';
import { bytes, type Column, count, table } from '../table.js';
import { type Progress, painter, type Surroundings, startProgress } from '../terminal.js';
import { WeightMerge } from '../weights/merge-compute.js';
import { computeNorm } from '../weights/norm-compute.js';
import { showNorms } from '../weights/norm-progress.js';

interface MergeCommandOptions extends OutputOptions {
  readonly report?: string;
  readonly html?: string;
  readonly require?: number;
  readonly compact?: boolean;
}

/** A folder's report names the file of each module, and holds the report of each file. */
type FullMergeReport = MergeReport & { readonly models?: readonly MergeReport[] };

export const registerMerge: Register = (program, surroundings) => {
  program
    .command('merge')
    .description('fold the adapter of a model into its weights')
    .argument('<MODEL>', 'a rewritten or attached model, or an export: an .onnx file, or a folder of them')
    .argument('<OUT>', 'the file (or folder) to write')
    .option('--report <R.json>', 'write the report as JSON')
    .option('--html <R.html>', 'write the report as an HTML page')
    .option('--require <N>', 'end with exit code 3 if fewer than N layers are merged', parseCount)
    .option('--compact', 'write only the weights that are still used')
    .addOption(jsonOption())
    .action((model: string, out: string, options: MergeCommandOptions) => merge(model, out, options, surroundings));
};

async function merge(
  model: string,
  out: string,
  options: MergeCommandOptions,
  surroundings: Surroundings,
): Promise<void> {
  const { stdout, stderr } = surroundings;
  const set = await findModels(model);
  const progress = startProgress(stderr);
  let report: FullMergeReport;
  try {
    const reports = await writeSet(set, out, (files) => mergeAll(set, files, options, progress, surroundings));
    report = combine(set, reports);
    const { report: json, html, require: required, compact } = options;
    await writeReportFiles(report, mergePage, options, {
      command: commandLine('merge', [model, out], { report: json, html, require: required, compact }),
      bytes: () => modelBytes(set, out),
    });
  } finally {
    progress.end();
  }
  const paint = painter(stdout);
  printResult(stdout, options, { ...report, output: out }, () => [
    ...(report.modules.length > 0 ? [...table(report.modules, columns), ''] : []),
    ...costs(report),
    paint('bold', closingLine(report, out)),
  ]);
  const { merged } = report.totals;
  if (options.require !== undefined && merged < options.require) {
    throw new CommandError(
      'unsatisfied',
      `${model}: ${count(merged, 'layer')} merged where --require asks for ${options.require}; the report says why the others were not`,
    );
  }
}

async function mergeAll(
  set: ModelSet,
  files: readonly ModelPlace[],
  { compact = false }: MergeCommandOptions,
  progress: Progress,
  { signal }: Surroundings,
): Promise<readonly MergeReport[]> {
  await using weights = new WeightMerge();
  const reports: MergeReport[] = [];
  for (const { input, output } of files) {
    signal.throwIfAborted();
    const name = displayName(set, input);
    let [norms, writing]: (Pace | undefined)[] = [];
    const report = await mergeModel(input, output, {
      compact,
      compute: computeNorm,
      merge: weights.compute,
      signal,
      onProgress: (event) => {
        switch (event.stage) {
          case 'search':
            return progress.update(`${name}: looking for adapters`);
          case 'norm':
            norms ??= new Pace();
            return showNorms(progress, name, event, norms);
          case 'merge':
            return progress.update(
              `${name}: merging ${count(event.total, 'layer')}`,
              event.done / event.total,
              event.path,
            );
          case 'write':
            if (writing === undefined) {
              // The norms' buffers, as large as those that come.
              collectGarbage();
              writing = new Pace();
            }
            return progress.update(
              `${name}: writing`,
              event.total === 0 ? undefined : event.done / event.total,
              `${bytes(event.done)} of ${bytes(event.total)}`,
              writing.describe(event.done, event.total),
            );
        }
      },
    });
    reports.push({ ...report, model: name });
  }
  return reports;
}

function combine({ kind, root }: ModelSet, reports: readonly MergeReport[]): FullMergeReport {
  const [first] = reports;
  if (first === undefined) throw new RangeError('there are no reports to combine');
  if (kind === 'file') return first;
  const sum = (key: 'nodesBefore' | 'nodesAfter') => reports.reduce((total, { totals }) => total + totals[key], 0);
  const modules = reports.flatMap(({ model, modules: own }) =>
    own.map((module) => ({ ...module, path: `${model}: ${module.path}` })),
  );
  return {
    ...first,
    model: basename(root),
    modules,
    totals: mergeTotals(modules, sum('nodesBefore'), sum('nodesAfter')),
    models: reports,
  };
}

type Row = MergeReport['modules'][number];

const merged = (row: Row, value: (module: Extract<Row, { status: 'merged' }>) => string) =>
  row.status === 'merged' ? value(row) : '';

const columns: readonly Column<Row>[] = [
  { title: 'MODULE', value: ({ path }) => path },
  { title: 'ADAPTER', value: ({ adapter }) => (adapter === 'default' ? '' : (adapter ?? '')) },
  { title: 'KIND', value: (row) => merged(row, ({ kind }) => kind) },
  { title: 'RANK', align: 'right', value: (row) => merged(row, ({ rank }) => String(rank)) },
  { title: 'TYPE', value: (row) => merged(row, ({ dtypes }) => dtypes.weight) },
  {
    title: 'NOT MERGED',
    align: 'right',
    value: (row) => merged(row, ({ fused }) => bytes(fused.weightBytes + fused.adapterBytes)),
  },
  { title: 'MERGED', align: 'right', value: (row) => merged(row, (module) => bytes(module.merged.weightBytes)) },
  {
    title: 'ROUNDING',
    align: 'right',
    value: (row) => merged(row, ({ rounding }) => rounding?.max.toExponential(1) ?? ''),
  },
  { title: 'STATUS', value: (row) => (row.status === 'merged' ? 'merged' : `not merged: ${row.reason}`) },
];

/** What merging costs and saves against operators that keep A, B and g beside W. */
function costs({ totals }: MergeReport): readonly string[] {
  if (totals.merged === 0) return [];
  const { fused, mergedCost, bytesPerAdapter, rounding } = totals;
  const share = fused.flopsPerRow === 0 ? 0 : 1 - mergedCost.flopsPerRow / fused.flopsPerRow;
  return [
    `saved: ${bytes(fused.adapterBytes)} of A, B and g, and ${(100 * share).toPrecision(2)} % of these layers' arithmetic`,
    `cost: each further adapter is a copy of ${bytes(bytesPerAdapter.merged)}, where it would be ${bytes(bytesPerAdapter.fused)} beside a shared base`,
    `cost: W' is rounded once, by ${rounding.max.toExponential(1)} of the largest |W'| at worst and ${rounding.rms.toExponential(1)} in the mean square`,
  ];
}

/** `14 layers merged, 1 left as it was; written to merged.onnx`. */
function closingLine({ model, totals }: MergeReport, out: string): string {
  if (totals.modules === 0) return `no adapter found, nothing was merged; ${out} is equivalent to ${model}`;
  const left = totals.skipped > 0 ? `, ${totals.skipped} left as ${totals.skipped === 1 ? 'it was' : 'they were'}` : '';
  return `${count(totals.merged, 'layer')} merged${left}; written to ${out}`;
}
