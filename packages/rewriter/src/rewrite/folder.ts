import { copyFile, link, lstat, mkdir, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { externalTensors, openModel } from '@ort-dora/onnx';
import type { RewriteReport } from '../report/report.js';
import { RewriteError } from './error.js';
import type { RewriteOptions } from './options.js';
import { rewriteModel } from './rewrite-model.js';

/** A model as people have it: one file, or a folder in the layout of transformers.js or onnxruntime-genai. */
export type ModelPath =
  | { readonly kind: 'file'; readonly path: string }
  | {
      readonly kind: 'folder';
      readonly path: string;
      /** The .onnx files below it, relative to it, sorted. */
      readonly models: readonly string[];
    };

/** Deepest folder that is looked into: transformers.js keeps its models in `onnx/`. */
const DEEPEST_FOLDER = 3;

/**
 * Whether a path is one model or a folder of them, and which.
 * @throws RewriteError `no-model` where there is nothing, or a folder without .onnx files.
 */
export async function findModelFiles(path: string): Promise<ModelPath> {
  const root = resolve(path);
  const found = await lstat(await realpath(root).catch(() => root)).catch(() => undefined);
  if (found === undefined) throw new RewriteError('no-model', `${path}: there is no such file or folder`);
  if (!found.isDirectory()) return { kind: 'file', path: root };
  const models = (await listFiles(root)).filter((file) => file.endsWith('.onnx'));
  if (models.length === 0) {
    throw new RewriteError('no-model', `${path}: no .onnx file is in this folder or the folders in it`);
  }
  return { kind: 'folder', path: root, models };
}

/** What {@link rewriteFolder} did with each file. */
export interface FolderRewriteResult {
  readonly output: string;
  readonly files: readonly { readonly file: string; readonly report: RewriteReport }[];
}

/**
 * Rewrites every .onnx file of a folder into a new folder, with everything else that is in it (configuration,
 * tokenizer) linked or copied. The output appears whole or not at all.
 *
 * @throws as {@link rewriteModel}; RewriteError `exists` where there is something at `outputPath` already.
 */
export async function rewriteFolder(
  inputPath: string,
  outputPath: string,
  options: RewriteOptions & { readonly onFile?: (file: string) => void } = {},
): Promise<FolderRewriteResult> {
  const folder = await findModelFiles(inputPath);
  if (folder.kind === 'file') throw new RewriteError('no-model', `${inputPath}: this is a file; use rewriteModel`);
  const output = resolve(outputPath);
  if ((await lstat(output).catch(() => undefined)) !== undefined) {
    throw new RewriteError(
      'exists',
      `${outputPath}: there is something already; remove it, or write to another folder`,
    );
  }
  if (`${output}${sep}`.startsWith(`${folder.path}${sep}`)) {
    throw new RewriteError('same-file', `${outputPath}: the output is inside the input folder; write beside it`);
  }
  const random = Math.random().toString(36).slice(2, 10);
  const staged = join(dirname(output), `.${basename(output)}.${process.pid}-${random}.tmp`);
  try {
    await mkdir(staged, { recursive: true });
    const files: { file: string; report: RewriteReport }[] = [];
    const data = new Set<string>();
    for (const file of folder.models) {
      options.onFile?.(file);
      await mkdir(dirname(join(staged, file)), { recursive: true });
      for (const location of await dataFiles(join(folder.path, file))) data.add(join(dirname(file), location));
      const { report } = await rewriteModel(join(folder.path, file), join(staged, file), options);
      files.push({ file, report });
    }
    for (const file of await listFiles(folder.path)) {
      options.signal?.throwIfAborted();
      // Data of models was placed with them, as far as it is still used.
      if (folder.models.includes(file) || data.has(file)) continue;
      const target = join(staged, file);
      await mkdir(dirname(target), { recursive: true });
      const source = await realpath(join(folder.path, file));
      await link(source, target).catch(() => copyFile(source, target));
    }
    await rename(staged, output);
    return { output, files };
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

async function dataFiles(model: string): Promise<string[]> {
  const file = await openModel(model);
  try {
    return externalTensors(file.model).map(({ place }) => place.location);
  } finally {
    await file.close();
  }
}

/** Files below a folder, relative to it, sorted. Links are followed to files (Hugging Face's cache is made of them) but not to folders. */
async function listFiles(root: string, folder = root, depth = 0): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && depth < DEEPEST_FOLDER) files.push(...(await listFiles(root, path, depth + 1)));
    else if (entry.isFile() || (entry.isSymbolicLink() && (await isFile(path)))) files.push(relative(root, path));
  }
  return files.sort();
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}
