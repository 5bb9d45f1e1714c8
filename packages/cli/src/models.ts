/** MODEL on the command line: an .onnx file, or a folder whose every .onnx file is meant. */

import { lstat, opendir, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { CommandError, describeError } from './errors.js';

export interface ModelSet {
  readonly kind: 'file' | 'folder';
  readonly root: string;
  /** Paths of the models; in a folder, sorted by name. */
  readonly models: readonly string[];
  /** A folder's other files: tokenizers, configurations, weights. Sorted. */
  readonly others: readonly string[];
}

/** Deep enough for `model/onnx/decoder.onnx`; not so deep that a home directory is searched. */
const maxDepth = 3;
const maxFiles = 10_000;

/**
 * The models that MODEL means.
 *
 * @throws CommandError failed: nothing is there, or no .onnx file in it
 */
export async function findModels(path: string): Promise<ModelSet> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (cause) {
    throw new CommandError(
      'failed',
      `${path} cannot be read (${describeError(cause)}); give an .onnx file or a folder with .onnx files`,
      { cause },
    );
  }
  if (!isFolder) return { kind: 'file', root: path, models: [path], others: [] };
  const files: string[] = [];
  await collect(path, 0, files);
  files.sort();
  const models = files.filter((file) => file.endsWith('.onnx'));
  if (models.length === 0) {
    throw new CommandError(
      'failed',
      `${path} holds no .onnx file (${maxDepth} folders deep); give an .onnx file or a folder with some`,
    );
  }
  return { kind: 'folder', root: path, models, others: files.filter((file) => !file.endsWith('.onnx')) };
}

async function collect(folder: string, depth: number, files: string[]): Promise<void> {
  for await (const entry of await opendir(folder)) {
    if (entry.name.startsWith('.')) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (depth < maxDepth) await collect(path, depth + 1, files);
    } else if (entry.isFile() || (entry.isSymbolicLink() && (await stat(path).catch(() => undefined))?.isFile())) {
      files.push(path);
      if (files.length > maxFiles)
        throw new CommandError('failed', `${folder} holds more than ${maxFiles} files; give the folder of one model`);
    }
  }
}

/** How a model is called in tables: its name within the folder. */
export const displayName = ({ kind, root }: ModelSet, model: string) =>
  kind === 'file' ? basename(model) : relative(root, model);

export const exists = async (path: string): Promise<boolean> =>
  (await lstat(path).catch(() => undefined)) !== undefined;
