/** `ort-dora extract`: the adapter of a model as a PEFT folder. */

import { type ExtractedModule, type ExtractReport, extractAdapter } from '@ort-dora/rewriter';
import { findModels } from '../models.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import type { Register } from '../program.js';
import { type Column, count, table } from '../table.js';
import { painter, type Surroundings, startProgress } from '../terminal.js';
import { computeNorm } from '../weights/norm-compute.js';

interface ExtractCommandOptions extends OutputOptions {
  readonly adapter?: string;
}

export const registerExtract: Register = (program, surroundings) => {
  program
    .command('extract')
    .description('write the adapter of a model as a PEFT folder')
    .argument('<MODEL>', 'a rewritten or attached model, or an export: an .onnx file, or a folder of them')
    .argument('<ADAPTER_DIR>', 'the folder to write; must not hold files yet')
    .option('--adapter <NAME>', 'the adapter to extract, where layers have several')
    .addOption(jsonOption())
    .action((model: string, folder: string, options: ExtractCommandOptions) =>
      extract(model, folder, options, surroundings),
    );
};

async function extract(
  model: string,
  folder: string,
  options: ExtractCommandOptions,
  { stdout, stderr, signal }: Surroundings,
): Promise<void> {
  const { models } = await findModels(model);
  const progress = startProgress(stderr);
  let report: ExtractReport;
  try {
    report = await extractAdapter(models, folder, {
      ...(options.adapter === undefined ? {} : { adapter: options.adapter }),
      compute: computeNorm,
      signal,
      onProgress: (event) =>
        event.stage === 'search'
          ? progress.update(`${event.file}: looking for adapters`)
          : progress.update(`reading ${count(event.total, 'module')}`, event.done / event.total, event.path),
    });
  } finally {
    progress.end();
  }
  const paint = painter(stdout);
  printResult(stdout, options, { ...report, output: folder }, () => [
    ...table(report.modules, columns),
    '',
    ...notes(report),
    paint('bold', `${count(report.modules.length, 'module')} of the adapter written to ${folder}`),
  ]);
}

const columns: readonly Column<ExtractedModule>[] = [
  { title: 'MODULE', value: ({ path }) => path },
  { title: 'KIND', value: ({ kind }) => kind },
  { title: 'RANK', align: 'right', value: ({ rank }) => String(rank) },
  { title: 'SCALING', align: 'right', value: ({ scaling }) => String(Number(scaling.toPrecision(6))) },
  { title: 'A, B', value: ({ dtypes }) => dtypes.adapter },
  { title: 'M', value: ({ dtypes, magnitude }) => (magnitude === null ? 'none' : `${dtypes.magnitude}, ${magnitude}`) },
];

function notes({ config, modules }: ExtractReport): readonly string[] {
  const defaults = modules.filter((module) => module.defaults.length > 0);
  const recomputed = modules.filter(({ magnitude }) => magnitude === 'recomputed').length;
  return [
    config === 'attached'
      ? 'adapter_config.json is the one that was attached'
      : 'adapter_config.json was reconstructed from the model: ranks, alphas and target modules; it names no base model',
    ...(defaults.length > 0
      ? [
          `the adapter of ${count(defaults.length, 'module')} is an input of the graph: its default values were taken (${defaults[0]!.defaults[0]}, …)`,
        ]
      : []),
    ...(recomputed > 0
      ? [`m of ${count(recomputed, 'module')} was recomputed from g, and may differ in the last two places of its type`]
      : []),
  ];
}
