/** `ort-dora rewrite`: replaces each DoRA module by one fused operator, and proves the result equal if asked to. */

import { type RewriteOptions, rewriteModel } from '@ort-dora/rewriter';
import { verifyModels } from '@ort-dora/verify';
import { Option } from 'commander';
import { combine, type FullReport, fusedModules, type NamedReport } from '../combined-report.js';
import { commandLine } from '../command-line.js';
import { parseCount } from '../count-argument.js';
import { type DimOptions, dimOption, typedDims } from '../dim-option.js';
import { CommandError } from '../errors.js';
import { type FormOptions, formOption, targetOption, typedForm } from '../form-options.js';
import { displayName, findModels, type ModelSet } from '../models.js';
import { moduleSummary, moduleTable } from '../module-table.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import { type ModelPlace, writeSet } from '../output-folder.js';
import { Pace } from '../pace.js';
import type { Register } from '../program.js';
import { modelBytes, moduleGraphs, writeReports } from '../report-files.js';
import { keepHeapSmall } from '../small-heap.js';
import { count } from '../table.js';
import { type Progress, painter, type Surroundings, startProgress } from '../terminal.js';
import { computeNorm } from '../weights/norm-compute.js';
import { showNorms } from '../weights/norm-progress.js';

interface RewriteCommandOptions extends OutputOptions, DimOptions, FormOptions {
  readonly report?: string;
  readonly html?: string;
  readonly verify?: boolean;
  readonly require?: number;
  readonly scale: 'auto' | 'stored' | 'runtime';
  readonly compact?: boolean;
}

export const registerRewrite: Register = (program, surroundings) => {
  program
    .command('rewrite')
    .description('fuse each DoRA module of a model into one operator')
    .argument('<MODEL>', 'an .onnx file, or a folder whose every .onnx file is rewritten')
    .argument('<OUT>', 'the file (or folder) to write')
    .option('--report <R.json>', 'write the report as JSON')
    .option('--html <R.html>', 'write the report as an HTML page')
    .option('--verify', 'prove the result equal: every module against float64, and whole outputs')
    .addOption(dimOption())
    .option('--require <N>', 'end with exit code 3 if fewer than N modules are fused', parseCount)
    .addOption(
      new Option('--scale <WHEN>', 'compute the norm now, or in the graph')
        .choices(['auto', 'stored', 'runtime'])
        .default('auto'),
    )
    .addOption(formOption())
    .addOption(targetOption())
    .option('--compact', 'write only the weights that are still used')
    .addOption(jsonOption())
    .action((model: string, out: string, options: RewriteCommandOptions) => rewrite(model, out, options, surroundings));
};

async function rewrite(
  model: string,
  out: string,
  options: RewriteCommandOptions,
  surroundings: Surroundings,
): Promise<void> {
  keepHeapSmall();
  const { stdout, stderr } = surroundings;
  const set = await findModels(model);
  const progress = startProgress(stderr);
  let report: FullReport;
  let reports: readonly NamedReport[];
  try {
    reports = await writeSet(set, out, async (files) => {
      const written: NamedReport[] = [];
      for (const file of files) {
        surroundings.signal.throwIfAborted();
        written.push(await rewriteFile(set, file, options, progress, surroundings));
      }
      return written;
    });
    report = combine(set, reports);
    await writeReports(report, options, {
      command: typedCommand(model, out, options),
      bytes: () => modelBytes(set, out),
      graphs: () => moduleGraphs(set, out, reports),
    });
  } finally {
    progress.end();
  }
  const paint = painter(stdout);
  printResult(stdout, options, { ...report, output: out }, () => [
    ...reports.flatMap((named) => [
      ...(set.kind === 'folder' ? [paint('bold', named.name)] : []),
      ...(named.report.modules.length > 0 ? [...moduleTable(named.report, named.verification), ''] : []),
    ]),
    ...(report.verification?.unchecked ?? []).map(
      ({ path, reason }) => `${path} was judged with the whole model only: ${reason}`,
    ),
    ...(report.verification?.notes ?? []),
    paint(report.verification?.passed === false ? 'red' : 'bold', closingLine(report, out)),
  ]);
  checkOutcome(report, out, options);
}

async function rewriteFile(
  set: ModelSet,
  { input, output }: ModelPlace,
  options: RewriteCommandOptions,
  progress: Progress,
  { signal }: Surroundings,
): Promise<NamedReport> {
  const name = displayName(set, input);
  const { report } = await rewriteModel(input, output, rewriteOptions(options, name, progress, signal));
  if (!options.verify) return { name, report };
  const fused = report.modules.filter((module) => module.status === 'fused');
  const verification = await verifyModels(input, output, {
    modules: fused,
    signal,
    ...(options.dim && { dims: options.dim }),
    onProgress: (step, fraction) => progress.update(`${name}: verifying`, fraction, step),
  });
  return { name, report, verification };
}

function rewriteOptions(
  options: RewriteCommandOptions,
  name: string,
  progress: Progress,
  signal: AbortSignal,
): RewriteOptions {
  const { scale, form, target, compact = false } = options;
  let pace: Pace | undefined;
  return {
    scale,
    form,
    target,
    compact,
    compute: computeNorm,
    signal,
    onProgress: (event) => {
      switch (event.stage) {
        case 'search':
          return progress.update(`${name}: looking for DoRA modules`);
        case 'fuse':
          return progress.update(
            `${name}: fusing ${count(event.total, 'module')}`,
            event.done / event.total,
            event.path,
          );
        case 'norm':
          pace ??= new Pace();
          return showNorms(progress, name, event, pace);
        case 'write':
          return progress.update(`${name}: writing`);
      }
    },
  };
}

/** `27 of 27 DoRA modules fused; verified: worst module error 0.9× the original's, …`. */
function closingLine(report: FullReport, out: string): string {
  const nothing = report.totals.fused === 0 ? `; ${out} is equivalent to ${report.model}` : '';
  return [`${moduleSummary(report)}${nothing}`, report.verification?.summary].filter(Boolean).join('; ');
}

function typedCommand(model: string, out: string, options: RewriteCommandOptions): string {
  const { report, html, verify, require: required, scale, compact } = options;
  return commandLine('rewrite', [model, out], {
    report,
    html,
    verify,
    dim: typedDims(options),
    require: required,
    scale: scale === 'auto' ? undefined : scale,
    ...typedForm(options),
    compact,
  });
}

function checkOutcome(report: FullReport, out: string, { require: required }: RewriteCommandOptions): void {
  const { verification } = report;
  if (verification && !verification.passed) {
    throw new CommandError('unsatisfied', `${out} against ${report.model}: ${verification.summary}; do not use it`);
  }
  if (required !== undefined && fusedModules(report) < required) {
    throw new CommandError(
      'unsatisfied',
      `${report.model}: ${count(fusedModules(report), 'module')} fused where --require asks for ${required}; ort-dora inspect says why the others were left alone`,
    );
  }
}
