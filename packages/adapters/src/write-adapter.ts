import { mkdir, open, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CONFIG_FILE, TENSORS_FILE } from './adapter.js';
import { parseConfig } from './config.js';
import { AdapterError, ioError } from './errors.js';
import { formatKey, type Part } from './keys.js';
import { type AdapterModule, groupTensors } from './modules.js';
import { PathPatterns } from './patterns.js';
import { safetensorsChunks, type TensorContents } from './safetensors/write.js';

/** One module to be written; an {@link AdapterModule} is one. */
export interface ModuleContents extends Pick<AdapterModule, 'path' | 'kind'> {
  readonly loraA: TensorContents;
  readonly loraB: TensorContents;
  readonly magnitude?: TensorContents;
}

export interface AdapterContents {
  /** Text of adapter_config.json. */
  readonly config: string;
  readonly modules: Iterable<ModuleContents>;
}

/**
 * Writes a PEFT adapter folder, whole or not at all: beside its place, then renamed. What is written has passed the
 * checks of `openAdapter`; the same contents give the same bytes, which are those that PEFT writes.
 *
 * @param folder must not exist yet, or be empty
 * @throws AdapterError `exists`, `io`, and what `openAdapter` throws for contents that do not belong together
 */
export async function writeAdapter(
  folder: string,
  contents: AdapterContents,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  const place = resolve(folder);
  const tensors = tensorsOf(contents.modules, place);
  const config = Buffer.from(contents.config);
  const named = new Map([...tensors].map(([name, tensor]) => [name, { name, ...tensor }]));
  groupTensors(named, parseConfig(config, join(place, CONFIG_FILE)), new PathPatterns(), join(place, TENSORS_FILE));
  const random = Math.random().toString(36).slice(2, 10);
  const stage = join(dirname(place), `.${basename(place)}.${process.pid}-${random}.tmp`);
  try {
    await refuseTaken(place);
    await mkdir(dirname(place), { recursive: true });
    await mkdir(stage);
    await writeFile(join(stage, TENSORS_FILE), safetensorsChunks(tensors), options.signal);
    await writeFile(join(stage, CONFIG_FILE), [config], options.signal);
    // An empty folder in its place goes; one that somebody filled meanwhile does not.
    await rmdir(place).catch(() => {});
    await rename(stage, place);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && 'syscall' in cause) {
      throw ioError(cause, place, 'the adapter cannot be written');
    }
    throw cause;
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

function tensorsOf(modules: Iterable<ModuleContents>, place: string): ReadonlyMap<string, TensorContents> {
  const tensors = new Map<string, TensorContents>();
  for (const { path, kind, loraA, loraB, magnitude } of modules) {
    const embedded = kind === 'embedding';
    const parts: readonly (readonly [Part, TensorContents | undefined])[] = [
      [embedded ? 'embeddingA' : 'loraA', loraA],
      [embedded ? 'embeddingB' : 'loraB', loraB],
      ['magnitude', magnitude],
    ];
    for (const [part, tensor] of parts) {
      const key = formatKey(path, part);
      if (tensors.has(key)) throw new AdapterError('tensors', place, `module ${path} is to be written twice`);
      if (tensor !== undefined) tensors.set(key, tensor);
    }
  }
  return tensors;
}

async function refuseTaken(place: string): Promise<void> {
  const entries = await readdir(place).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (entries.length > 0) {
    throw new AdapterError('exists', place, 'it is there already and holds files', {
      todo: 'remove it, or give another folder',
    });
  }
}

async function writeFile(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<void> {
  await using handle = await open(path, 'wx');
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    await handle.writeFile(chunk);
  }
  await handle.sync();
}
