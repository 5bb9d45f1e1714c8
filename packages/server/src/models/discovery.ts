/** Finds the .onnx files and the vision-language models to serve below a path, and names them. Nothing is loaded here. */
import { type Dirent, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ServerError } from '../errors.js';
import { type ChatVariant, chatVariants } from './chat-variants.js';

export interface ModelFile {
  /** What clients call it: letters, digits, `.`, `_` and `-`. */
  readonly name: string;
  readonly path: string;
}

export interface DiscoveredModels {
  /** Single graphs, for the tensor protocol. */
  readonly files: readonly ModelFile[];
  /** Vision-language models, for chat. Their graphs are not among the files. */
  readonly chat: readonly ChatVariant[];
}

const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/**
 * - an .onnx file is one model, named by the file (`model.onnx`: by its folder)
 * - a model folder has .onnx files in it or in its `onnx/` (the transformers.js layout): named by the folder, and where
 *   there are several, by folder and file: `smolvlm.vision_encoder`
 * - a model folder that `@ort-dora/vlm` can run is a chat model, and so is each further decoder in it
 * - a folder without either is a folder of model folders
 *
 * Throws ServerError NO_MODELS or INVALID_OPTIONS.
 */
export function discoverModels(path: string): DiscoveredModels {
  const root = resolve(path);
  const models = isFile(root) ? { files: [modelFile(fileModelName(root), root)], chat: [] } : discoverFolder(root);
  if (models.files.length + models.chat.length === 0) {
    throw new ServerError(
      'NO_MODELS',
      `no .onnx file in ${root}; give an .onnx file, a folder with one, or a folder of such folders`,
    );
  }
  refuseEqualNames([...models.files, ...models.chat.map(({ name, path }) => ({ name, path }))]);
  return models;
}

function refuseEqualNames(models: readonly ModelFile[]): void {
  const names = new Map<string, string>();
  for (const { name, path } of models) {
    const other = names.get(name);
    if (other !== undefined) {
      throw new ServerError('INVALID_OPTIONS', `two models would be named "${name}": ${other} and ${path}; rename one`);
    }
    names.set(name, path);
  }
}

function discoverFolder(root: string): DiscoveredModels {
  const own = modelsOf(root);
  if (own.files.length + own.chat.length > 0) return own;
  const folders = entries(root)
    .filter((entry) => isFolder(root, entry))
    .map((entry) => modelsOf(join(root, entry.name)));
  return { files: folders.flatMap(({ files }) => files), chat: folders.flatMap(({ chat }) => chat) };
}

function modelsOf(folder: string): DiscoveredModels {
  const chat = chatVariants(folder, (name, path) => modelFile(name, path).name);
  return chat.length > 0 ? { files: [], chat } : { files: modelFolder(folder), chat };
}

function modelFolder(folder: string): ModelFile[] {
  const files = [...onnxFiles(folder), ...onnxFiles(join(folder, 'onnx'))];
  const name = basename(folder);
  if (files.length === 1) return [modelFile(name, files[0]!)];
  return files.map((path) => modelFile(stem(path) === 'model' ? name : `${name}.${stem(path)}`, path));
}

function onnxFiles(folder: string): string[] {
  return entries(folder)
    .filter((entry) => entry.name.endsWith('.onnx') && !isFolder(folder, entry))
    .map((entry) => join(folder, entry.name));
}

/** Sorted, so that what is served and in which order does not depend on the file system. */
function entries(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ENOTDIR') {
      return [];
    }
    throw new ServerError('NO_MODELS', `${folder} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function isFolder(parent: string, entry: Dirent): boolean {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return statSync(join(parent, entry.name), { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isFile(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new ServerError('NO_MODELS', `${path} does not exist`);
  if (stats.isFile() && !path.endsWith('.onnx')) throw new ServerError('NO_MODELS', `${path} is not an .onnx file`);
  return stats.isFile();
}

function fileModelName(path: string): string {
  return stem(path) === 'model' ? basename(resolve(path, '..')) : stem(path);
}

function stem(path: string): string {
  return basename(path, '.onnx');
}

function modelFile(name: string, path: string): ModelFile {
  if (!MODEL_NAME.test(name)) {
    throw new ServerError(
      'INVALID_OPTIONS',
      `"${name}" (${path}) cannot be a model name in a URL; use letters, digits, ".", "_" and "-", starting with a letter or digit`,
    );
  }
  return { name, path };
}
