/**
 * Module paths against PEFT's regular expressions. They come with the adapter, from anywhere, so they run on an engine
 * whose time is linear in the path, and together for a limited time. What that engine cannot express (lookaround,
 * backreferences) is not evaluated at all.
 */

import { RE2JS, RE2JSException } from 're2js';

/** Whether a whole path fits; undefined if the pattern cannot be evaluated. */
export type PathPattern = (path: string) => boolean | undefined;

/** How a PEFT reads the keys of `rank_pattern` and `alpha_pattern`. */
export type KeyRule = 'before 0.15' | 'since 0.15';

/** Longer than a list of all modules of a large model. */
const MAX_PATTERN_LENGTH = 2 ** 16;

/** 448 patterns over 448 paths take half a second. */
const DEFAULT_LIMIT_MS = 10_000;

/** Compiles and evaluates the patterns of one adapter. */
export class PathPatterns {
  #leftMs: number;

  constructor(limitMs = DEFAULT_LIMIT_MS) {
    this.#leftMs = limitMs;
  }

  /** A pattern that must fit a whole path (Python's `re.fullmatch`). */
  compile(pattern: string): PathPattern {
    const compiled = this.#timed(() => compilePattern(pattern));
    return (path) => compiled && this.#timed(() => compiled.matches(path));
  }

  /**
   * A key of `rank_pattern` or `alpha_pattern` (`peft.utils.other.get_pattern_key`). Before PEFT 0.15 it had to follow a
   * dot, and an alternative of it a whole path.
   */
  compileKey(key: string, rule: KeyRule): PathPattern {
    return this.compile(rule === 'since 0.15' ? `(.*\\.)?(${key})` : `.*\\.${key}`);
  }

  /** What `evaluate` returns; undefined, without calling it, once the time is used up. */
  #timed<T>(evaluate: () => T): T | undefined {
    if (this.#leftMs <= 0) return undefined;
    const start = performance.now();
    try {
      return evaluate();
    } finally {
      this.#leftMs -= performance.now() - start;
    }
  }
}

function compilePattern(pattern: string): RE2JS | undefined {
  if (pattern.length > MAX_PATTERN_LENGTH) return undefined;
  try {
    return RE2JS.compile(pattern);
  } catch (error) {
    if (error instanceof RE2JSException) return undefined;
    throw error;
  }
}
