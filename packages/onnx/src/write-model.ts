import { unlinkSync } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ioError } from './external-data.js';
import type { ModelProto } from './messages.js';
import { encodeModelChunks } from './model-codec.js';

/**
 * Writes a model to `path`, whole or not at all: beside it first, then renamed onto it. An interrupted or failed write
 * leaves nothing behind, and what was at `path` before stays as it was.
 * @throws OnnxError `io` (folder missing, not writable, full), and what encodeModel throws.
 */
export async function writeModel(model: ModelProto, path: string): Promise<void> {
  await writeFileAtomically(path, encodeModelChunks(model));
}

/** As {@link writeModel}, for chunks of bytes of any file. */
export async function writeFileAtomically(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = resolve(path);
  const temporary = join(
    dirname(file),
    `.${basename(file)}.${process.pid}-${Math.random().toString(36).slice(2, 10)}.tmp`,
  );
  const release = removeOnSignal(temporary);
  try {
    let handle: FileHandle | undefined;
    try {
      handle = await open(temporary, 'wx');
      for await (const chunk of gathered(chunks)) await writeAll(handle, chunk);
      await handle.sync();
      await handle.close();
      handle = undefined;
      await rename(temporary, file);
      await syncFolder(dirname(file));
    } catch (error) {
      await handle?.close().catch(() => {});
      await unlink(temporary).catch(() => {});
      throw error;
    }
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && 'syscall' in cause)) throw cause;
    throw ioError(cause, 'the file cannot be written', file);
  } finally {
    release();
  }
}

const GATHER_BYTES = 2 ** 20;

/** Joins small chunks, of which a rewritten graph has thousands. A chunk is done with when the next is asked for. */
async function* gathered(chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const waiting = new Uint8Array(GATHER_BYTES);
  let size = 0;
  for await (const chunk of chunks) {
    if (size + chunk.length > GATHER_BYTES && size > 0) {
      yield waiting.subarray(0, size);
      size = 0;
    }
    if (chunk.length >= GATHER_BYTES) yield chunk;
    else {
      waiting.set(chunk, size);
      size += chunk.length;
    }
  }
  if (size > 0) yield waiting.subarray(0, size);
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, done, Math.min(chunk.length - done, 2 ** 30));
    done += bytesWritten;
  }
}

/** The rename is on disk when the folder is; file systems that cannot sync a folder do without. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** Files to remove when a signal ends the process in the middle of a write. */
const unfinished = new Set<string>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function onSignal(signal: NodeJS.Signals): void {
  for (const file of unfinished) {
    try {
      unlinkSync(file);
    } catch {
      // Not made yet, or renamed already.
    }
  }
  unfinished.clear();
  for (const each of SIGNALS) process.off(each, onSignal);
  // With no other listener the signal would have ended the process: let it.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
}

function removeOnSignal(file: string): () => void {
  if (unfinished.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  unfinished.add(file);
  return () => {
    unfinished.delete(file);
    if (unfinished.size === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
  };
}
