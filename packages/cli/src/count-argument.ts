import { InvalidArgumentError } from 'commander';

/** A count on the command line, 0 included. */
export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('it must be a whole number of at least 0.');
  return Number(text);
}
