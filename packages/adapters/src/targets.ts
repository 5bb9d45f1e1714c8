/** Which modules the config names: only to notice tensors that PEFT itself would not load. */

import type { AdapterConfig } from './config.js';
import { compilePattern } from './patterns.js';

/** What to say about modules that have tensors, but are no target by `target_modules` and `exclude_modules`. */
export function unmatchedTargets(config: AdapterConfig, paths: readonly string[]): string | undefined {
  const { targetModules, excludeModules } = config;
  if (targetModules === undefined || targetModules === 'all-linear') return undefined;
  const isTarget = matcher(targetModules);
  const isExcluded = matcher(excludeModules ?? []);
  if (isTarget === undefined || isExcluded === undefined) {
    const option = isTarget === undefined ? 'target_modules' : 'exclude_modules';
    return `${option} is a regular expression that cannot be evaluated in linear time, so it was not compared with the modules that are there`;
  }
  const unmatched = paths.filter((path) => !isTarget(path) || isExcluded(path));
  if (unmatched.length === 0) return undefined;
  return (
    `${unmatched.length} of ${paths.length} modules, ${unmatched[0]} first, are no target by target_modules ` +
    'and exclude_modules: PEFT would not load them, and they are used here'
  );
}

/** `peft.tuners.tuners_utils.check_target_module_exists`; undefined if the pattern cannot be evaluated. */
function matcher(names: string | readonly string[]): ((path: string) => boolean) | undefined {
  if (typeof names === 'string') return compilePattern(names);
  const known = new Set(names);
  // A path matches if it, or what follows one of its dots, is a name.
  return (path) => {
    for (let start = 0; start !== -1; ) {
      if (known.has(path.slice(start))) return true;
      const dot = path.indexOf('.', start);
      start = dot === -1 ? -1 : dot + 1;
    }
    return false;
  };
}
