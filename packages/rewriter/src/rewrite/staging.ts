import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * Files that belong together: written under temporary names beside their targets, then renamed in the order in which
 * they were staged. Until then nothing is under a final name, and {@link Staging.discard} removes all traces.
 */
export class Staging {
  readonly #staged: { readonly temporary: string; readonly target: string }[] = [];
  readonly #madeFolders: string[] = [];

  /** The path to write to for `target`; its folder is made. */
  async stage(target: string): Promise<string> {
    const made = await mkdir(dirname(target), { recursive: true });
    if (made !== undefined) this.#madeFolders.push(made);
    const random = Math.random().toString(36).slice(2, 10);
    const temporary = join(dirname(target), `.${basename(target)}.${process.pid}-${random}.tmp`);
    this.#staged.push({ temporary, target });
    return temporary;
  }

  /** Gives all files their names, the last staged last. */
  async commit(): Promise<void> {
    for (const { temporary, target } of this.#staged) await rename(temporary, target);
    for (const folder of new Set(this.#staged.map(({ target }) => dirname(target)))) await syncFolder(folder);
    this.#staged.length = 0;
    this.#madeFolders.length = 0;
  }

  async discard(): Promise<void> {
    for (const { temporary } of this.#staged) await rm(temporary, { force: true });
    for (const folder of this.#madeFolders.reverse()) await rm(folder, { recursive: true, force: true });
  }
}

/** Renames are on disk when their folder is; file systems that cannot sync a folder do without. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}
