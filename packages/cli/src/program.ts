/** The command line: which commands there are, and how a run of one ends. */

import { Command, CommanderError } from 'commander';
import { registerAttach } from './commands/attach.js';
import { registerDoctor } from './commands/doctor.js';
import { registerExtract } from './commands/extract.js';
import { registerInspect } from './commands/inspect.js';
import { registerMerge } from './commands/merge.js';
import { registerOpsLibrary } from './commands/ops-library.js';
import { registerRewrite } from './commands/rewrite.js';
import { registerServe } from './commands/serve.js';
import { registerVerify } from './commands/verify.js';
import { CommandError, describeError, exitCode, singleLine } from './errors.js';
import type { Surroundings } from './terminal.js';
import { version } from './version.js';

/** Adds a command to the program. Its action throws, or ends normally: done. */
export type Register = (program: Command, surroundings: Surroundings) => void;

const commands: readonly Register[] = [
  registerInspect,
  registerRewrite,
  registerVerify,
  registerAttach,
  registerExtract,
  registerMerge,
  registerServe,
  registerDoctor,
  registerOpsLibrary,
];

/**
 * Runs one command line and returns its exit code (errors.ts lists them).
 *
 * @param argv the words after the program's name
 */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stderr, signal } = surroundings;
  const complain = (message: string) => stderr.write(`ort-dora: ${message}\n`);
  try {
    await createProgram(surroundings).parseAsync(argv, { from: 'user' });
    return exitCode.done;
  } catch (error) {
    if (error instanceof CommanderError) return endOfParsing(error, complain);
    if (signal.aborted) {
      complain('stopped; nothing was left half-written');
      return exitCode.interrupted;
    }
    complain(describeError(error));
    if (process.env.ORT_DORA_TRACE && error instanceof Error) stderr.write(`${error.stack}\n`);
    return error instanceof CommandError ? error.exitCode : exitCode.failed;
  }
}

function createProgram(surroundings: Surroundings): Command {
  const { stdout, stderr } = surroundings;
  const program = new Command('ort-dora')
    .description('Rewrite, verify and serve ONNX exports of DoRA-adapted models.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: () => {},
    })
    .addHelpText(
      'after',
      '\nExit codes: 0 done; 1 bad input or failed work; 2 bad usage; 3 too few modules fused, or not equal.',
    );
  for (const register of commands) register(program, surroundings);
  return program;
}

/** The end of a run that the parser stopped: help and version are answers, everything else is bad usage. */
function endOfParsing(error: CommanderError, complain: (message: string) => void): number {
  switch (error.code) {
    case 'commander.helpDisplayed':
    case 'commander.version':
      return exitCode.done;
    case 'commander.help':
      complain('no command was given; the help above lists them');
      return exitCode.usage;
    default:
      complain(
        `${singleLine(error.message).replace(/^error: /, '')} (ort-dora --help lists the commands and their options)`,
      );
      return exitCode.usage;
  }
}
