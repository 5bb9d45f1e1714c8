import { AdapterError } from '../errors.js';
import { type OpenFile, openInFolder, readAt } from '../folder.js';
import type { FloatType } from './dtype.js';
import { headerLength, LENGTH_BYTES, parseHeader } from './header.js';

/** A tensor in a file, of which ranges can be read while the file is open. */
export interface AdapterTensor {
  /** Its key in the file. */
  readonly name: string;
  readonly type: FloatType;
  readonly dims: readonly number[];
  readonly byteLength: number;
  /** Bytes `[start, end)` of the little-endian elements; all of them by default. */
  read(start?: number, end?: number): Promise<Uint8Array>;
}

/** An open safetensors file. */
export interface SafetensorsFile {
  readonly metadata: ReadonlyMap<string, string>;
  /** By key, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, AdapterTensor>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file in a folder and checks it whole; of the tensors no byte is read.
 * @returns undefined if there is none of that name.
 * @throws AdapterError `io`, `path`, `malformed`, `dtype`
 */
export async function openSafetensors(folder: string, name: string): Promise<SafetensorsFile | undefined> {
  const file = await openInFolder(folder, name);
  if (file === undefined) return undefined;
  try {
    if (file.size < LENGTH_BYTES) {
      throw new AdapterError('malformed', file.path, `it has ${file.size} bytes: no safetensors file is that short`);
    }
    const length = headerLength(await readAt(file, 0, LENGTH_BYTES), file.size, file.path);
    const header = parseHeader(await readAt(file, LENGTH_BYTES, length), file.size, file.path);
    return {
      metadata: header.metadata,
      tensors: new Map(
        [...header.tensors].map(([key, { type, dims, offset, byteLength }]) => [
          key,
          {
            name: key,
            type,
            dims,
            byteLength,
            read: (start = 0, end = byteLength) => readRange(file, key, offset, byteLength, start, end),
          },
        ]),
      ),
      close: () => file.handle.close(),
    };
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

function readRange(file: OpenFile, key: string, offset: number, byteLength: number, start: number, end: number) {
  if (!(start >= 0 && start <= end && end <= byteLength)) {
    throw new RangeError(`tensor '${key}' has ${byteLength} bytes; [${start}, ${end}) was asked for`);
  }
  return readAt(file, offset + start, end - start);
}
