/** How a command gives its result: JSON for programs, lines for people. */

import { Option } from 'commander';
import type { Sink } from './terminal.js';

export interface OutputOptions {
  readonly json?: boolean;
}

/** The option that every command has. */
export const jsonOption = () => new Option('--json', 'print the result as JSON');

/** Prints the JSON value if it was asked for, else the lines. */
export function printResult(sink: Sink, { json }: OutputOptions, value: unknown, lines: () => readonly string[]): void {
  sink.write(json ? `${JSON.stringify(value, null, 2)}\n` : `${lines().join('\n')}\n`);
}
