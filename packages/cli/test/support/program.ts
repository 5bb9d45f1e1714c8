/** Runs the command line in this process, as src/main.ts does with a process of its own. */

import { run } from '../../src/program.js';

export const samples = new URL('../../../../models/fixtures/samples/', import.meta.url).pathname;

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function ortDora(...argv: string[]): Promise<Ended> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(argv, {
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
    signal: new AbortController().signal,
  });
  return { code, stdout: out.join(''), stderr: err.join('') };
}
