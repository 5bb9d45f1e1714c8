/** Files of an adapter's folder: opened only where they lie in it, links included. */

import { constants } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { AdapterError, ioError } from './errors.js';

/** A file that is open for reading. */
export interface OpenFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly size: number;
}

/**
 * Opens a regular file of a folder.
 * @returns undefined if there is none of that name.
 * @throws AdapterError `path` for links that lead out of the folder and for what is no regular file, `io` otherwise.
 */
export async function openInFolder(folder: string, name: string): Promise<OpenFile | undefined> {
  const file = join(folder, name);
  let path: string;
  try {
    const root = await realpath(folder);
    path = await realpath(file);
    if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
      throw new AdapterError('path', file, 'it is a link that leads out of the folder', {
        todo: 'only files in the folder itself are read; put the file there',
      });
    }
    if (!(await stat(path)).isFile()) throw new AdapterError('path', file, 'it is not a regular file');
  } catch (cause) {
    if (cause instanceof AdapterError) throw cause;
    if (isMissing(cause) && (await isFolder(folder))) return undefined;
    throw ioError(cause, file, 'it cannot be found');
  }
  try {
    // The path is real, so a link here means that it was swapped after the check.
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = await handle.stat();
    return { path: file, handle, size };
  } catch (cause) {
    throw ioError(cause, file, 'it cannot be opened');
  }
}

/** `length` bytes from `offset`, into a new buffer. */
export async function readAt(file: OpenFile, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    let bytesRead: number;
    try {
      ({ bytesRead } = await file.handle.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done));
    } catch (cause) {
      throw ioError(cause, file.path, 'it cannot be read');
    }
    if (bytesRead === 0) throw new AdapterError('malformed', file.path, 'it has become shorter while it was read');
    done += bytesRead;
  }
  return bytes;
}

const isMissing = (error: unknown) => error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT';

const isFolder = async (path: string) => (await stat(path).catch(() => undefined))?.isDirectory() === true;
