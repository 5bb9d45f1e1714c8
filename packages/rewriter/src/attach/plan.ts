/** Which module of an adapter goes into which file of a base export. */

import type { TargetProblem } from './find-targets.js';
import { FITS, type PathFit } from './paths.js';

/** What was found in one file. */
export interface TargetsInFile {
  /** The file's name. */
  readonly file: string;
  readonly found: readonly { readonly path: string; readonly fit: PathFit }[];
  readonly problems: readonly TargetProblem[];
}

export interface FilesPlan {
  /** For each file, the paths of the modules that go into it. */
  readonly paths: readonly (readonly string[])[];
  /** Why this cannot be done; then nothing may be written. */
  readonly problems: readonly TargetProblem[];
}

/**
 * A module goes into each file where its path fits best: files may be parts of a model, or the same part several times (in
 * other types, with and without past). Those that share a module must share all of theirs: a file with some of them is
 * incomplete, or another model.
 */
export function planFiles(paths: readonly string[], files: readonly TargetsInFile[]): FilesPlan {
  const bestFit = new Map<string, number>();
  for (const { path, fit } of files.flatMap(({ found }) => found)) {
    bestFit.set(path, Math.min(bestFit.get(path) ?? FITS.length, FITS.indexOf(fit)));
  }
  const planned = files.map(({ found }) =>
    found.filter(({ path, fit }) => FITS.indexOf(fit) === bestFit.get(path)).map(({ path }) => path),
  );
  const missing = paths.filter((path) => !bestFit.has(path)).map((path) => worstProblem(path, files));
  return { paths: planned, problems: [...missing, ...unequalFiles(files, planned)] };
}

/** The problem that says most: one that found candidates over one that found nothing. */
function worstProblem(path: string, files: readonly TargetsInFile[]): TargetProblem {
  const severity = ['missing', 'shape', 'ambiguous', 'adapted'];
  const problems = files.flatMap(({ file, problems: ofFile }) =>
    ofFile
      .filter((problem) => problem.path === path)
      .map((problem) => ({ ...problem, candidates: problem.candidates.map((name) => inFile(files, file, name)) })),
  );
  const score = ({ problem, candidates }: TargetProblem) =>
    10 * severity.indexOf(problem) + Math.min(candidates.length, 9);
  return problems.reduce((worst, problem) => (score(problem) > score(worst) ? problem : worst));
}

const inFile = (files: readonly TargetsInFile[], file: string, name: string) =>
  files.length === 1 ? name : `${name} of ${file}`;

function unequalFiles(files: readonly TargetsInFile[], planned: readonly (readonly string[])[]): TargetProblem[] {
  const problems: TargetProblem[] = [];
  for (const [index, paths] of planned.entries()) {
    const own = new Set(paths);
    for (const [other, others] of planned.slice(0, index).entries()) {
      if (!others.some((path) => own.has(path))) continue;
      const theirs = new Set(others);
      const report = (path: string, there: number, not: number): TargetProblem => ({
        path,
        problem: 'missing',
        reason: `is in ${files[there]!.file} and not in ${files[not]!.file}, which shares other modules with it`,
        candidates: files[not]!.problems.find((problem) => problem.path === path)?.candidates ?? [],
      });
      problems.push(
        ...others.filter((path) => !own.has(path)).map((path) => report(path, other, index)),
        ...paths.filter((path) => !theirs.has(path)).map((path) => report(path, index, other)),
      );
    }
  }
  return problems;
}

/** Groups that are written out at most: an adapter of another model can have hundreds. */
const MOST_WRITTEN = 40;

/** All problems in one sentence; modules with the same one are put together. */
export function targetsMessage(modules: number, problems: readonly TargetProblem[]): string {
  const groups = new Map<string, string[]>();
  for (const { path, reason, candidates } of problems) {
    const text = candidates.length === 0 ? reason : `${reason}; closest: ${candidates.join(', ')}`;
    groups.set(text, [...(groups.get(text) ?? []), path]);
  }
  const written = [...groups].slice(0, MOST_WRITTEN).map(([text, paths]) => `${paths.join(', ')} (${text})`);
  const rest = groups.size - written.length;
  const listed = [...written, ...(rest > 0 ? [`and ${rest} more groups`] : [])].join('; ');
  return `${problems.length} of the adapter's ${modules} modules cannot be attached, so nothing was written: ${listed}`;
}
