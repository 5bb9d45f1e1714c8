/** Reads NumPy's .npz archives of model inputs. The archive is hostile until read: every size is checked before memory is taken. */

import { open } from 'node:fs/promises';
import { unzipSync } from 'fflate';
import { VerifyError } from '../error.js';
import type { TensorData } from '../tensor.js';
import { readNpy } from './npy.js';

/** What a .npz file may cost at most. */
export interface NpzLimits {
  /** Bytes of the file itself. */
  readonly fileBytes: number;
  /** Bytes of all arrays together once inflated. */
  readonly totalBytes: number;
  readonly arrays: number;
}

const defaultLimits: NpzLimits = { fileBytes: 2 ** 31, totalBytes: 2 ** 31, arrays: 4096 };

/** The most bytes that one compressed byte can become (deflate's bound is 1032 to 1). */
const maxRatio = 1032;

/**
 * The named arrays of a .npz file (`np.savez` or `np.savez_compressed`).
 *
 * @throws VerifyError BAD_INPUT_FILE: unreadable, not a .npz file, larger than the limits, or a bad array (named)
 */
export async function readNpzFile(path: string, limits: Partial<NpzLimits> = {}): Promise<Map<string, TensorData>> {
  const most = { ...defaultLimits, ...limits };
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new VerifyError('BAD_INPUT_FILE', `${path} cannot be opened: ${(cause as Error).message}`, { cause });
  }
  try {
    const { size } = await file.stat();
    if (size > most.fileBytes) throw bad(path, `has ${size} bytes; at most ${most.fileBytes} are read`);
    return readNpz(await file.readFile(), path, most);
  } finally {
    await file.close();
  }
}

/** The same, of bytes in memory; `where` is what to call them in an error. */
export function readNpz(bytes: Uint8Array, where: string, limits: Partial<NpzLimits> = {}): Map<string, TensorData> {
  const most = { ...defaultLimits, ...limits };
  let total = 0;
  let arrays = 0;
  const seen = new Set<string>();
  let files: Record<string, Uint8Array>;
  try {
    // The whole directory is checked before the first array is inflated.
    unzipSync(bytes, {
      filter: ({ name, size, originalSize, compression }) => {
        const label = JSON.stringify(name.slice(0, 200));
        if (!name.endsWith('.npy')) throw bad(where, `holds ${label}, which is not a .npy array`);
        if (seen.has(name)) throw bad(where, `holds ${label} twice`);
        seen.add(name);
        if (++arrays > most.arrays) throw bad(where, `holds more than ${most.arrays} arrays`);
        if (compression !== 0 && compression !== 8)
          throw bad(where, `holds ${label}, compressed by method ${compression}`);
        if (size > bytes.length || originalSize > size * maxRatio + 64) {
          throw bad(where, `says that ${label} grows from ${size} to ${originalSize} bytes, which cannot be`);
        }
        total += originalSize;
        if (total > most.totalBytes) throw bad(where, `grows to more than ${most.totalBytes} bytes when inflated`);
        return false;
      },
    });
    files = unzipSync(bytes);
  } catch (cause) {
    if (cause instanceof VerifyError) throw cause;
    throw new VerifyError('BAD_INPUT_FILE', `${where} is not a readable .npz archive: ${(cause as Error).message}`, {
      cause,
    });
  }
  return new Map(
    Object.entries(files).map(([name, content]) => {
      const key = name.slice(0, -'.npy'.length);
      return [key, readNpy(content, `${where}: array ${JSON.stringify(key)}`)];
    }),
  );
}

const bad = (where: string, what: string) => new VerifyError('BAD_INPUT_FILE', `${where} ${what}`);
