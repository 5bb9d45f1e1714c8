/** `ort-dora inspect`: the DoRA modules of a model; nothing is written. */

import { inspectModel } from '@ort-dora/rewriter';
import { combine, type NamedReport } from '../combined-report.js';
import { displayName, findModels } from '../models.js';
import { moduleSummary, moduleTable } from '../module-table.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import type { Register } from '../program.js';
import { painter, startProgress } from '../terminal.js';

export const registerInspect: Register = (program, { stdout, stderr, signal }) => {
  program
    .command('inspect')
    .description('list the DoRA modules of a model; nothing is written')
    .argument('<MODEL>', 'an .onnx file, or a folder whose every .onnx file is inspected')
    .addOption(jsonOption())
    .action(async (model: string, options: OutputOptions) => {
      const set = await findModels(model);
      const progress = startProgress(stderr);
      const reports: NamedReport[] = [];
      try {
        for (const [index, path] of set.models.entries()) {
          progress.update(`inspecting ${displayName(set, path)}`, index / set.models.length);
          reports.push({ name: displayName(set, path), report: await inspectModel(path, { signal }) });
        }
      } finally {
        progress.end();
      }
      const paint = painter(stdout);
      printResult(stdout, options, combine(set, reports), () => [
        ...reports.flatMap(({ name, report }) => [
          ...(set.kind === 'folder' ? [paint('bold', name)] : []),
          ...(report.modules.length > 0 ? [...moduleTable(report), ''] : []),
        ]),
        paint('bold', moduleSummary(combine(set, reports))),
      ]);
    });
};
