/**
 * Module paths against PEFT's regular expressions. They come with the adapter, from anywhere, so they run on an engine
 * whose time is linear in the path; what it cannot express (lookaround, backreferences) is not evaluated at all.
 */

import { RE2JS, RE2JSException } from 're2js';

/** A compiled pattern. */
export type PathPattern = (path: string) => boolean;

/** Longer than a list of all modules of a large model. */
const MAX_PATTERN_LENGTH = 2 ** 16;

/** Compiles a pattern that must fit a whole path (Python's `re.fullmatch`); undefined if it cannot be evaluated. */
export function compilePattern(pattern: string): PathPattern | undefined {
  if (pattern.length > MAX_PATTERN_LENGTH) return undefined;
  try {
    const compiled = RE2JS.compile(pattern);
    return (path) => compiled.matches(path);
  } catch (error) {
    if (error instanceof RE2JSException) return undefined;
    throw error;
  }
}

/** Compiles a key of `rank_pattern` or `alpha_pattern` (`peft.utils.other.get_pattern_key`). */
export const compileKey = (key: string): PathPattern | undefined => compilePattern(`(.*\\.)?(${key})`);
