/** `ort-dora verify`: the same inputs to two models, and a judgement of the difference. */

import { basename } from 'node:path';
import {
  type FusedModuleReport,
  inspectModel,
  RewriteError,
  readModuleGraphs,
  verificationPage,
} from '@ort-dora/rewriter';
import { type VerificationResult, verifyModels } from '@ort-dora/verify';
import { InvalidArgumentError } from 'commander';
import { commandLine } from '../command-line.js';
import { type DimOptions, dimOption, typedDims } from '../dim-option.js';
import { CommandError } from '../errors.js';
import { findModels } from '../models.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import type { Register } from '../program.js';
import { writeReportFiles } from '../report-files.js';
import { type Column, table } from '../table.js';
import { painter, startProgress } from '../terminal.js';

interface VerifyCommandOptions extends OutputOptions, DimOptions {
  readonly inputs?: string;
  readonly tolerance?: number;
  readonly html?: string;
}

export const registerVerify: Register = (program, { stdout, stderr, signal }) => {
  program
    .command('verify')
    .description('run two models on the same inputs and judge the difference')
    .argument('<MODEL_A>', 'the original: an .onnx file')
    .argument('<MODEL_B>', 'the model to judge by it: an .onnx file')
    .option('--inputs <F.npz>', 'inputs by name, from numpy.savez (default: generated ones, of several sizes)')
    .option('--tolerance <T>', 'replace the rule by: |A − B| at most T times the largest |A|', parseTolerance)
    .addOption(dimOption())
    .option('--html <R.html>', 'write the result as an HTML page')
    .addOption(jsonOption())
    .action(async (a: string, b: string, options: VerifyCommandOptions) => {
      const [original, rewritten] = [await singleModel(a), await singleModel(b)];
      const progress = startProgress(stderr);
      let result: VerificationResult;
      try {
        const modules = options.tolerance === undefined ? await modulesOf(original) : [];
        result = await verifyModels(original, rewritten, {
          signal,
          modules,
          onProgress: (step, fraction) => progress.update('verifying', fraction, step),
          ...(options.dim && { dims: options.dim }),
          ...(options.inputs !== undefined && { inputs: options.inputs }),
          ...(options.tolerance !== undefined && { tolerance: options.tolerance }),
        });
        await writePage({ original, rewritten, modules, result }, options);
      } finally {
        progress.end();
      }
      const paint = painter(stdout);
      printResult(stdout, options, result, () => [
        ...outputTable(result),
        '',
        ...(result.modules.length > 0 ? [...moduleErrors(result), ''] : []),
        ...result.unchecked.map(({ path, reason }) => `${path} was judged with the whole model only: ${reason}`),
        ...result.notes,
        paint(result.passed ? 'green' : 'red', result.summary),
      ]);
      if (!result.passed) throw new CommandError('unsatisfied', `${b} against ${a}: ${result.summary}`);
    });
};

/**
 * The DoRA modules of the original, to be judged one by one where the other model has them fused. A tolerance for whole outputs
 * is asked for where the models are not meant to be that close: their modules are not judged.
 */
async function modulesOf(path: string): Promise<FusedModuleReport[]> {
  try {
    return (await inspectModel(path)).modules.filter((module) => module.status === 'fused');
  } catch (error) {
    // A model that cannot be rewritten can still be compared.
    if (error instanceof RewriteError) return [];
    throw error;
  }
}

async function writePage(
  { original, rewritten, modules, result }: Verified,
  options: VerifyCommandOptions,
): Promise<void> {
  const subject = {
    original: basename(original),
    rewritten: basename(rewritten),
    modules,
    verification: result,
  };
  await writeReportFiles(subject, verificationPage, options, {
    command: commandLine('verify', [original, rewritten], {
      inputs: options.inputs,
      dim: typedDims(options),
      tolerance: options.tolerance,
      html: options.html,
    }),
    graphs: () => readModuleGraphs(original, rewritten, modules, result),
  });
}

interface Verified {
  readonly original: string;
  readonly rewritten: string;
  readonly modules: readonly FusedModuleReport[];
  readonly result: VerificationResult;
}

async function singleModel(path: string): Promise<string> {
  const { kind, models } = await findModels(path);
  if (kind === 'folder' && models.length > 1) {
    throw new CommandError('failed', `${path} holds ${models.length} models; give two .onnx files to compare`);
  }
  return models[0]!;
}

function parseTolerance(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('it must be a number of at least 0, such as 1e-3.');
  }
  return value;
}

type Output = VerificationResult['outputs'][number];

const outputColumns: readonly Column<Output>[] = [
  { title: 'OUTPUT', value: ({ name }) => name },
  { title: 'TYPE', value: ({ type }) => type },
  { title: 'MAX |A−B|', align: 'right', value: ({ maxAbs }) => maxAbs.toExponential(2) },
  { title: 'OF MAX |A|', align: 'right', value: ({ maxRelative }) => maxRelative.toExponential(2) },
  { title: 'COSINE', align: 'right', value: ({ cosine }) => cosine.toFixed(8) },
  { title: 'STATUS', value: ({ passed }) => (passed ? 'equal' : 'NOT EQUAL') },
];

const outputTable = ({ outputs }: VerificationResult): string[] => table(outputs, outputColumns);

type Module = VerificationResult['modules'][number];

const moduleColumns: readonly Column<Module>[] = [
  { title: 'MODULE', value: ({ path }) => path },
  { title: 'ADAPTER', value: ({ adapter }) => (adapter === 'default' ? '' : (adapter ?? '')) },
  { title: 'ERROR OF A', align: 'right', value: ({ errorOriginal }) => errorOriginal.toExponential(2) },
  { title: 'ERROR OF B', align: 'right', value: ({ errorRewritten }) => errorRewritten.toExponential(2) },
  { title: 'AT MOST', align: 'right', value: ({ limit }) => limit.toExponential(2) },
  { title: 'STATUS', value: ({ passed }) => (passed ? 'equal' : 'NOT EQUAL') },
];

const moduleErrors = ({ modules }: VerificationResult): string[] => table(modules, moduleColumns);
