/** `ort-dora attach BASE OUT --bank SLOTS --max-rank R`: a base model with room for adapters. */

import { ELEMENT_BYTES } from '@ort-dora/adapters';
import { attachBank, type BankModuleReport, type BankReport } from '@ort-dora/rewriter';
import { displayName, findModels } from './models.js';
import { printResult } from './output.js';
import { writeSet } from './output-folder.js';
import { writeWhole } from './report-files.js';
import { type Column, count, table } from './table.js';
import { painter, type Surroundings, startProgress } from './terminal.js';

export interface BankCommandOptions {
  readonly slots: number;
  readonly maxRank: number;
  readonly targets: readonly string[] | undefined;
  readonly target: 'auto' | 'cpu' | 'cuda';
  readonly compact: boolean;
  readonly report: string | undefined;
  readonly json: boolean;
}

export async function attachEmptyBank(
  base: string,
  out: string,
  options: BankCommandOptions,
  { stdout, stderr, signal }: Surroundings,
): Promise<void> {
  const { slots, maxRank, targets, target, compact } = options;
  const set = await findModels(base);
  const progress = startProgress(stderr);
  let reports: readonly BankReport[];
  try {
    reports = await writeSet(set, out, (files) =>
      attachBank(files, {
        slots,
        maxRank,
        target,
        compact,
        signal,
        ...(targets && { targets }),
        onProgress: ({ stage, file }) =>
          progress.update(stage === 'search' ? `${file}: looking for linear layers` : `${file}: writing`),
      }),
    );
  } finally {
    progress.end();
  }
  const result = { models: reports, output: out };
  if (options.report !== undefined) await writeWhole(options.report, `${JSON.stringify(result, null, 2)}\n`);
  const paint = painter(stdout);
  printResult(stdout, options, result, () => [
    ...reports.flatMap((report, index) => {
      if (report.modules.length === 0) return [];
      const title = set.kind === 'folder' ? [paint('bold', displayName(set, set.models[index]!))] : [];
      return [...title, ...table(report.modules, columns), ''];
    }),
    ...reports.flatMap((report) => (report.bank === null ? [] : [paint('bold', bankSummary(report, report.bank))])),
  ]);
}

const columns: readonly Column<BankModuleReport>[] = [
  { title: 'MODULE', value: ({ path }) => path },
  { title: 'IN', align: 'right', value: ({ weightShape: [, inFeatures] }) => String(inFeatures) },
  { title: 'OUT', align: 'right', value: ({ weightShape: [outFeatures] }) => String(outFeatures) },
  { title: 'TYPE', value: ({ dtype }) => dtype },
  { title: 'EXPORTED AS', value: ({ base }) => base },
  { title: 'OPERATOR', value: ({ operator }) => operator },
];

/** `decoder.onnx: 14 layers have room for 4 adapters of rank 16 at most, 4.2 MiB each`. */
function bankSummary({ model, modules }: BankReport, bank: NonNullable<BankReport['bank']>): string {
  const bytes = bank.rowElements * ELEMENT_BYTES[bank.elementType] + 4 * bank.gainElements;
  const size = `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const room = `room for ${count(bank.slots, 'adapter')} of rank ${bank.maxRank} at most, ${size} each`;
  return `${model}: ${count(modules.length, 'layer')} with ${room}`;
}
