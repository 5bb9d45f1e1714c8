/** `ort-dora attach`: puts a PEFT adapter onto the export of its base model, without another export. */

import { mkdtemp, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type Adapter, openAdapter } from '@ort-dora/adapters';
import {
  type AttachFile,
  type AttachOptions,
  attachAdapter,
  type FusedModuleReport,
  type RewriteReport,
} from '@ort-dora/rewriter';
import { type VerificationResult, verifyModels } from '@ort-dora/verify';
import { InvalidArgumentError } from 'commander';
import { attachEmptyBank, type BankCommandOptions } from '../attach-empty-bank.js';
import { combine, type FullReport, type NamedReport } from '../combined-report.js';
import { commandLine } from '../command-line.js';
import { type DimOptions, dimOption, typedDims } from '../dim-option.js';
import { CommandError } from '../errors.js';
import { type FormOptions, formOption, targetOption, typedForm } from '../form-options.js';
import { displayName, findModels, type ModelSet } from '../models.js';
import { moduleSummary, moduleTable } from '../module-table.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import { writeSet } from '../output-folder.js';
import type { Register } from '../program.js';
import { modelBytes, moduleGraphs, writeReports } from '../report-files.js';
import { count } from '../table.js';
import { type Progress, painter, type Surroundings, startProgress } from '../terminal.js';
import { computeNorm } from '../weights/norm-compute.js';

interface AttachCommandOptions extends OutputOptions, DimOptions, FormOptions {
  readonly report?: string;
  readonly html?: string;
  readonly verify?: boolean;
  readonly compact?: boolean;
  readonly bank?: number;
  readonly maxRank?: number;
  readonly targets?: readonly string[];
}

export const registerAttach: Register = (program, surroundings) => {
  program
    .command('attach')
    .description('put a PEFT adapter onto the export of its base model')
    .usage(
      '[options] <BASE> <ADAPTER_DIR> <OUT>\n       ort-dora attach [options] <BASE> <OUT> --bank <SLOTS> --max-rank <R>',
    )
    .argument('<BASE>', 'an .onnx file, or a folder whose .onnx files hold the model together')
    .argument('<ADAPTER_DIR>', "a folder that PEFT's save_pretrained wrote; left out with --bank")
    .argument('[OUT]', 'the file (or folder) to write')
    .option('--report <R.json>', 'write the report as JSON')
    .option('--html <R.html>', 'write the report as an HTML page')
    .option(
      '--verify',
      "prove the result: against PEFT's own order of operations on the same base, and against float64",
    )
    .addOption(dimOption())
    .addOption(formOption())
    .addOption(targetOption())
    .option('--compact', 'write only the weights that are still used')
    .option('--bank <SLOTS>', 'write empty slots for that many adapters instead, filled while serving', parsePositive)
    .option('--max-rank <R>', 'largest rank of an adapter in a bank', parsePositive)
    .option(
      '--targets <NAMES>',
      "ends of the paths of the layers that a bank has room for, with commas between; default: all linear layers but the head (PEFT's all-linear)",
      (text: string) => text.split(',').map((name) => name.trim()),
    )
    .addOption(jsonOption())
    .action((base: string, second: string, third: string | undefined, options: AttachCommandOptions) =>
      options.bank === undefined
        ? attach(placesOf(base, second, third, options), options, surroundings)
        : attachEmptyBank(base, bankPlace(second, third), bankOptions(options, options.bank), surroundings),
    );
};

function placesOf(base: string, adapter: string, out: string | undefined, options: AttachCommandOptions): Places {
  for (const name of ['maxRank', 'targets'] as const) {
    if (options[name] !== undefined)
      throw new CommandError('usage', `${FLAGS[name]} is for banks only: give --bank too`);
  }
  if (out === undefined) {
    throw new CommandError(
      'usage',
      "missing argument 'OUT' (ort-dora attach BASE ADAPTER_DIR OUT, or BASE OUT with --bank)",
    );
  }
  return { base, adapter, out };
}

function bankPlace(out: string, third: string | undefined): string {
  if (third === undefined) return out;
  throw new CommandError(
    'usage',
    'a bank is written empty, so --bank takes no ADAPTER_DIR: ort-dora attach BASE OUT --bank SLOTS',
  );
}

function bankOptions(options: AttachCommandOptions, slots: number): BankCommandOptions {
  for (const name of ['verify', 'html', 'form'] as const) {
    const given = name === 'form' ? options.form !== 'linear' : options[name] !== undefined;
    if (given) throw new CommandError('usage', `${FLAGS[name]} is for adapters only: a bank has none yet`);
  }
  const { maxRank, targets, target, compact = false, report, json = false } = options;
  if (maxRank === undefined) throw new CommandError('usage', '--bank needs --max-rank, the largest rank of an adapter');
  return { slots, maxRank, targets, target, compact, report, json };
}

const FLAGS = {
  maxRank: '--max-rank',
  targets: '--targets',
  verify: '--verify',
  html: '--html',
  form: '--form compose',
} as const;

function parsePositive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('it must be a whole number of at least 1.');
  return Number(text);
}

interface Places {
  readonly base: string;
  readonly adapter: string;
  readonly out: string;
}

async function attach(places: Places, options: AttachCommandOptions, surroundings: Surroundings): Promise<void> {
  const { base, adapter: adapterFolder, out } = places;
  const { stdout, stderr } = surroundings;
  const set = await findModels(base);
  await using adapter = await openAdapter(adapterFolder);
  const progress = startProgress(stderr);
  let reports: readonly NamedReport[];
  let report: FullReport;
  try {
    const work: Work = { set, adapter, options, progress, surroundings };
    reports = await writeSet(set, out, (files) => attachAll(work, files, dirname(resolve(out))));
    report = combine(set, reports);
    await writeReports(report, options, {
      command: typedCommand(places, options),
      bytes: () => modelBytes(set, out),
      graphs: () => moduleGraphs(set, out, reports),
    });
  } finally {
    progress.end();
  }
  const paint = painter(stdout);
  printResult(stdout, options, { ...report, warnings: adapter.warnings, output: out }, () => [
    ...reports
      .filter(({ report: { modules } }) => modules.length > 0)
      .flatMap((named) => [
        ...(set.kind === 'folder' ? [paint('bold', named.name)] : []),
        ...moduleTable(named.report, named.verification),
        '',
      ]),
    ...adapter.warnings,
    ...(report.verification?.unchecked ?? []).map(
      ({ path, reason }) => `${path} was judged with the whole model only: ${reason}`,
    ),
    ...(report.verification?.notes ?? []),
    paint(report.verification?.passed === false ? 'red' : 'bold', closingLine(report, adapter)),
  ]);
  if (report.verification && !report.verification.passed) {
    throw new CommandError(
      'unsatisfied',
      `${out} with ${adapterFolder}: ${report.verification.summary}; do not use it`,
    );
  }
}

interface Work {
  readonly set: ModelSet;
  readonly adapter: Adapter;
  readonly options: AttachCommandOptions;
  readonly progress: Progress;
  readonly surroundings: Surroundings;
}

/** @param scratch a folder on OUT's disk, where a model can link to the weights of the base */
async function attachAll(work: Work, files: readonly AttachFile[], scratch: string): Promise<NamedReport[]> {
  const { set, adapter, options, progress, surroundings } = work;
  const { signal } = surroundings;
  const { form, target, compact = false } = options;
  const common: AttachOptions = { target, compute: computeNorm, signal };
  const reports = await attachAdapter(files, adapter, {
    ...common,
    form,
    compact,
    onProgress: (event) => {
      switch (event.stage) {
        case 'search':
          return progress.update(`${event.file}: looking for the adapter's modules`);
        case 'attach':
          return progress.update(
            `${event.file}: attaching ${count(event.total, 'module')}`,
            event.done / event.total,
            event.path,
          );
        case 'write':
          return progress.update(`${event.file}: writing`);
      }
    },
  });
  const named = files.map(({ input }, index) => ({ name: displayName(set, input), report: reports[index]! }));
  if (options.verify !== true) return named;
  const verified: NamedReport[] = [];
  const folder = await mkdtemp(join(scratch, '.attach-reference-'));
  try {
    for (const [index, each] of named.entries()) {
      if (each.report.modules.length === 0) {
        verified.push(each);
        continue;
      }
      const { input, output } = files[index]!;
      const reference = join(folder, `${index}-${basename(input)}`);
      const verify = { adapter, common, dims: options.dim, name: each.name, progress };
      verified.push({
        ...each,
        verification: await verifyAgainst(reference, { input, output, report: each.report }, verify),
      });
    }
    return verified;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Judges what was written by a model of the same base and adapter in PEFT's own order of operations. */
async function verifyAgainst(
  reference: string,
  { input, output, report }: { readonly input: string; readonly output: string; readonly report: RewriteReport },
  {
    adapter,
    common,
    dims,
    name,
    progress,
  }: {
    readonly adapter: Adapter;
    readonly common: AttachOptions;
    readonly dims: DimOptions['dim'];
    readonly name: string;
    readonly progress: Progress;
  },
): Promise<VerificationResult> {
  progress.update(`${name}: writing the reference`);
  const paths = new Set(report.modules.map(({ path }) => path));
  const part: Adapter = { ...adapter, modules: new Map([...adapter.modules].filter(([path]) => paths.has(path))) };
  const [written] = await attachAdapter([{ input, output: reference }], part, { ...common, form: 'reference' });
  const isFused = (module: RewriteReport['modules'][number]) => module.status === 'fused';
  const attached = report.modules.filter(isFused) as readonly FusedModuleReport[];
  const plain = written!.modules.filter(isFused) as readonly FusedModuleReport[];
  const gains = new Map(attached.map(({ values }) => [values.y, values.gain]));
  return verifyModels(reference, output, {
    modules: plain.map((module) => ({
      ...module,
      // How a runtime computes a quantized base is its own affair: what the adapter makes of the result is judged.
      form: isQuantized(module) ? { base: 'adapted' } : module.form,
      values: { ...module.values, gain: gains.get(module.values.y) ?? '' },
    })),
    ...(common.signal && { signal: common.signal }),
    ...(dims && { dims }),
    onProgress: (step, fraction) => progress.update(`${name}: verifying`, fraction, step),
  });
}

const QUANTIZED: ReadonlySet<string> = new Set(['MatMulNBits', 'MatMulInteger', 'DequantizeLinear']);

const isQuantized = ({ form }: FusedModuleReport) => QUANTIZED.has(form.base);

/** `14 modules of the DoRA adapter attached; verified: worst module error 0.9× the original's, …`. */
function closingLine(report: FullReport, { config, modules }: Adapter): string {
  const kind = config.useDora ? 'DoRA' : 'LoRA';
  const attached = `${count(modules.size, 'module')} of the ${kind} adapter attached: ${moduleSummary(report)}`;
  return [attached, report.verification?.summary].filter(Boolean).join('; ');
}

function typedCommand({ base, adapter, out }: Places, options: AttachCommandOptions): string {
  const { report, html, verify, compact } = options;
  return commandLine('attach', [base, adapter, out], {
    report,
    html,
    verify,
    dim: typedDims(options),
    ...typedForm(options),
    compact,
  });
}
