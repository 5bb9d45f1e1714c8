/** The sources whose checks are counted: everything between a graph and the decision that a module may be replaced. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findChecks } from './find-checks.mjs';

export const PACKAGE = fileURLToPath(new URL('../..', import.meta.url));

const FOLDERS = ['src/match', 'src/fusions', 'src/proofs'];

/** All checks, with a number each: its place in the list. */
export function checksOfSources() {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(join(PACKAGE, folder)).map((name) => `${folder}/${name}`),
  ).filter((file) => !/(\.test|-rewrite)\.ts$/.test(file));
  return findChecks(new Map(files.sort().map((file) => [file, readFileSync(join(PACKAGE, file), 'utf8')])));
}

/** The name of a source as checks have it. */
export function sourceName(path) {
  return relative(PACKAGE, path).replaceAll('\\', '/');
}
