/** `--dim NAME=SIZE`: sizes of symbolic dimensions that generated inputs should have. */

import { InvalidArgumentError, Option } from 'commander';

export interface DimOptions {
  readonly dim?: ReadonlyMap<string, number>;
}

export const dimOption = () =>
  new Option(
    '--dim <NAME=SIZE>',
    "size of a symbolic dimension of the model's inputs, where inputs are generated; may be repeated",
  ).argParser(parseDim);

function parseDim(text: string, before: ReadonlyMap<string, number> = new Map()): ReadonlyMap<string, number> {
  const [, name, size] = /^(.+)=(\d{1,9})$/s.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError('it must be a name and a size, such as kv_heads=8.');
  return new Map([...before, [name, Number(size)]]);
}

/** As they were typed. */
export const typedDims = ({ dim = new Map() }: DimOptions): readonly string[] =>
  [...dim].map(([name, size]) => `${name}=${size}`);
