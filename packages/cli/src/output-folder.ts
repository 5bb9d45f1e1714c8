/** A folder as output: built in a hidden folder beside its place, then moved there. */

import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { CommandError } from './errors.js';
import { externalFiles } from './external-files.js';
import { exists, type ModelSet } from './models.js';

/** A model, and where it is to be written. */
export interface ModelPlace {
  readonly input: string;
  readonly output: string;
}

/**
 * Writes all models of a set to OUT by `write`: a single file in place; a folder's models and its other files beside OUT
 * first, and in place when all of it is there.
 *
 * @throws CommandError failed where OUT is the set itself
 */
export async function writeSet<T>(
  set: ModelSet,
  out: string,
  write: (files: readonly ModelPlace[]) => Promise<T>,
): Promise<T> {
  if (set.kind === 'file') {
    await mkdir(dirname(resolve(out)), { recursive: true });
    return write([{ input: set.root, output: out }]);
  }
  if (resolve(out) === resolve(set.root)) {
    throw new CommandError('failed', `OUT is the input itself (${out}), which is never changed: give another folder`);
  }
  const stage = await stageFolder(set, out);
  try {
    const written = await write(set.models.map((input) => ({ input, output: join(stage, relative(set.root, input)) })));
    await placeFolder(stage, out);
    return written;
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

/**
 * A new folder beside `out` that holds copies of everything in the set but the models and their external data: the
 * rewrite brings those.
 */
async function stageFolder(set: ModelSet, out: string): Promise<string> {
  const place = resolve(out);
  await mkdir(dirname(place), { recursive: true });
  const stage = await mkdtemp(join(dirname(place), `.${basename(place)}.partial-`));
  try {
    // mkdtemp's folders are for their owner alone; this one becomes OUT.
    await chmod(stage, 0o777 & ~process.umask());
    const weights = await externalFiles(set.models);
    for (const file of set.others.filter((other) => !weights.has(resolve(other)))) {
      await copyInto(stage, relative(set.root, file), file);
    }
    for (const model of set.models) await mkdir(dirname(join(stage, relative(set.root, model))), { recursive: true });
    return stage;
  } catch (error) {
    await rm(stage, { recursive: true, force: true });
    throw error;
  }
}

async function copyInto(stage: string, name: string, from: string): Promise<void> {
  const to = join(stage, name);
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}

/** Moves what was staged to its place: the folder as a whole, or file by file into one that is there already. */
async function placeFolder(stage: string, out: string): Promise<void> {
  const place = resolve(out);
  if (!(await exists(place))) return rename(stage, place);
  const entries = await readdir(stage, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(relative(stage, entry.parentPath), entry.name));
  // Models last: whatever a model in its place refers to is in its place by then.
  files.sort((a, b) => Number(a.endsWith('.onnx')) - Number(b.endsWith('.onnx')));
  for (const name of files) {
    await mkdir(dirname(join(place, name)), { recursive: true });
    await rename(join(stage, name), join(place, name));
  }
}
