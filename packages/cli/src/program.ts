/** The command line: which commands there are, and how a run of one ends. */

import { Command, CommanderError } from 'commander';
import { CommandError, describeError, exitCode, singleLine } from './errors.js';
import type { Surroundings } from './terminal.js';
import { version } from './version.js';

/** Adds a command to the program. Its action throws, or ends normally: done. */
export type Register = (program: Command, surroundings: Surroundings) => void;

/** In the order of the help. A run loads its own command alone: what the server is made of would cost a rewrite 20 MB. */
const commands: Readonly<Record<string, () => Promise<Register>>> = {
  inspect: async () => (await import('./commands/inspect.js')).registerInspect,
  rewrite: async () => (await import('./commands/rewrite.js')).registerRewrite,
  verify: async () => (await import('./commands/verify.js')).registerVerify,
  attach: async () => (await import('./commands/attach.js')).registerAttach,
  extract: async () => (await import('./commands/extract.js')).registerExtract,
  merge: async () => (await import('./commands/merge.js')).registerMerge,
  serve: async () => (await import('./commands/serve.js')).registerServe,
  doctor: async () => (await import('./commands/doctor.js')).registerDoctor,
  'ops-library': async () => (await import('./commands/ops-library.js')).registerOpsLibrary,
};

/**
 * Runs one command line and returns its exit code (errors.ts lists them).
 *
 * @param argv the words after the program's name
 */
export async function run(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { stderr, signal } = surroundings;
  const complain = (message: string) => stderr.write(`ort-dora: ${message}\n`);
  try {
    const program = await createProgram(argv[0], surroundings);
    await program.parseAsync(argv, { from: 'user' });
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

/** @param wanted the command that is loaded; where it is none, for help and messages, all are */
async function createProgram(wanted: string | undefined, surroundings: Surroundings): Promise<Command> {
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
  const names = wanted !== undefined && Object.hasOwn(commands, wanted) ? [wanted] : Object.keys(commands);
  for (const name of names) (await commands[name]!())(program, surroundings);
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
