// A model's folder, read as if a stranger had made it: names are plain, sizes are bounded, and nothing leads out of it.
import { open, readdir, realpath, stat } from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { VlmError } from '../errors.js';
import { JsonObject } from './json-object.js';

/** Limits of the files that are read whole, in bytes. */
const LARGEST_TEXT = 1 << 20;
const LARGEST_TOKENIZER = 64 << 20;

/** A graph's name in the folder onnx, without `.onnx`, such as `decoder_model_merged_fp16`. */
const GRAPH_NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

export class ModelFolder {
  /** Absolute, without symbolic links. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** @throws VlmError FOLDER_INVALID where there is no such folder */
  static async open(path: string): Promise<ModelFolder> {
    const real = await realpath(path).catch(() => undefined);
    const info = real === undefined ? undefined : await stat(real);
    if (real === undefined || !info?.isDirectory()) {
      throw new VlmError(
        'FOLDER_INVALID',
        `${resolve(path)}: there is no such folder; expected a model in the layout of transformers.js`,
      );
    }
    return new ModelFolder(real);
  }

  /** A text file of at most 1 MB; undefined where it is missing. */
  async optionalText(name: string): Promise<string | undefined> {
    const path = await this.#inside(name);
    return path === undefined ? undefined : readBounded(path, LARGEST_TEXT);
  }

  /** The object in a JSON file of at most 1 MB (tokenizer.json: 64 MB); undefined where the file is missing. */
  async optionalJson(name: string): Promise<JsonObject | undefined> {
    const path = await this.#inside(name);
    if (path === undefined) return undefined;
    const text = await readBounded(path, name === 'tokenizer.json' ? LARGEST_TOKENIZER : LARGEST_TEXT);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new VlmError('FOLDER_INVALID', `${path}: not valid JSON: ${(cause as Error).message}`, { cause });
    }
    return JsonObject.from(value, path);
  }

  /** As optionalJson. @throws VlmError FOLDER_INVALID where the file is missing */
  async json(name: string): Promise<JsonObject> {
    const found = await this.optionalJson(name);
    if (found === undefined) throw this.#missing(name);
    return found;
  }

  /** The path of `onnx/<name>.onnx`. @throws VlmError FOLDER_INVALID where it is missing, naming the graphs that are there */
  async graph(name: string): Promise<string> {
    if (!GRAPH_NAME.test(name) || name.includes('..')) {
      throw new VlmError(
        'INVALID_ARGUMENT',
        `expected the name of a graph in ${join(this.path, 'onnx')}, such as decoder_model_merged_fp16, got '${name}'`,
      );
    }
    const path = await this.#inside(join('onnx', `${name}.onnx`));
    if (path !== undefined) return path;
    const present = (await readdir(join(this.path, 'onnx')).catch(() => [])).filter((file) => file.endsWith('.onnx'));
    throw this.#missing(
      join('onnx', `${name}.onnx`),
      `; the folder onnx has ${present.slice(0, 20).join(', ') || 'no graph'}`,
    );
  }

  /** The real path of a file below the folder; undefined where there is none. */
  async #inside(name: string): Promise<string | undefined> {
    const real = await realpath(join(this.path, name)).catch(() => undefined);
    if (real === undefined) return undefined;
    if (!real.startsWith(this.path + sep)) {
      throw new VlmError(
        'FOLDER_INVALID',
        `${join(this.path, name)} leads out of its folder, to ${real}: replace the link by the file`,
      );
    }
    return real;
  }

  #missing(name: string, hint = ''): VlmError {
    return new VlmError(
      'FOLDER_INVALID',
      `${join(this.path, name)} is missing${hint}. A model in the layout of transformers.js has it`,
    );
  }
}

/** Reads at most `limit` bytes, whatever the file system says of the size. */
async function readBounded(path: string, limit: number): Promise<string> {
  const file = await open(path);
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new VlmError('FOLDER_INVALID', `${path}: not a file`);
    if (info.size > limit)
      throw new VlmError('FOLDER_INVALID', `${path}: ${info.size} bytes, expected at most ${limit}`);
    const buffer = Buffer.alloc(info.size);
    const { bytesRead } = await file.read(buffer, 0, info.size, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
