/** Which modules the config names: only to notice tensors that PEFT itself would not load. */

import type { AdapterConfig } from './config.js';
import type { PathPattern, PathPatterns } from './patterns.js';

/** What to say about modules that have tensors, but are no target by `target_modules` and `exclude_modules`. */
export function targetWarning(
  config: AdapterConfig,
  paths: readonly string[],
  patterns: PathPatterns,
): string | undefined {
  const { targetModules, excludeModules } = config;
  if (targetModules === undefined || targetModules === 'all-linear') return undefined;
  const isTarget = matcher(targetModules, patterns);
  const isExcluded = matcher(excludeModules ?? [], patterns);
  const unmatched: string[] = [];
  for (const path of paths) {
    const target = isTarget(path);
    const excluded = isExcluded(path);
    if (target === undefined || excluded === undefined) {
      const option = target === undefined ? 'target_modules' : 'exclude_modules';
      return `${option} cannot be evaluated in linear time (lookaround?), so it was not compared with the modules that are there`;
    }
    if (!target || excluded) unmatched.push(path);
  }
  if (unmatched.length === 0) return undefined;
  return (
    `${unmatched.length} of ${paths.length} modules, ${unmatched[0]} first, are no target by target_modules ` +
    'and exclude_modules: PEFT would not load them, and they are used here'
  );
}

/** `peft.tuners.tuners_utils.check_target_module_exists`, without its limits by layer. */
function matcher(names: string | readonly string[], patterns: PathPatterns): PathPattern {
  if (typeof names === 'string') return patterns.compile(names);
  const known = new Set(names);
  return (path) => pathEnds(path).some((end) => known.has(end));
}

/** A path, and what follows each of its dots. */
function pathEnds(path: string): readonly string[] {
  const words = path.split('.');
  return words.map((_, index) => words.slice(index).join('.'));
}
