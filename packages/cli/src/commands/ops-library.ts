/** `ort-dora ops-library`: where the operator library is, for programs that register it themselves. */

import { describeRuntime } from '@ort-dora/runtime';
import { CommandError } from '../errors.js';
import { jsonOption, type OutputOptions, printResult } from '../output.js';
import type { Register } from '../program.js';

export const registerOpsLibrary: Register = (program, { stdout }) => {
  program
    .command('ops-library')
    .description('print the path of the custom-op library')
    .addOption(jsonOption())
    .action((options: OutputOptions) => {
      const { path, error } = describeRuntime().opsLibrary;
      if (path === undefined) {
        const why = error === undefined ? 'is not built' : `cannot be used: ${error}`;
        throw new CommandError(
          'failed',
          `the operator library ${why}; build it with npm run setup, or reinstall @ort-dora/custom-ops`,
        );
      }
      printResult(stdout, options, { path }, () => [path]);
    });
};
