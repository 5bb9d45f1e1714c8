/** Exit codes, and the errors that carry them to the end of the program. */

export const exitCode = {
  done: 0,
  /** The input is bad or the work failed. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** The work was done, and its result is not what was asked for: too few modules fused, or not equal. */
  unsatisfied: 3,
  /** Stopped by Ctrl-C or SIGTERM (128 + 2, as shells count). */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** Ends the program with one plain line on stderr: what, where, what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;

  constructor(exit: keyof typeof exitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode[exit];
  }
}

/** What went wrong, in one line. */
export function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  return singleLine(message);
}

/** One printable line: what came from a file must not move the cursor or start a new line. */
export function singleLine(text: string): string {
  const line = text
    .split(/[\r\n]+/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .join(' ');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
  return line.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '\uFFFD');
}
