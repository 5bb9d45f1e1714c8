import { constants } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { isAbsolute, join, sep } from 'node:path';
import { OnnxError } from './errors.js';
import { DataLocation, type ModelProto, type TensorProto } from './messages.js';
import { describeTensor } from './tensor.js';
import { visitTensors } from './walk.js';

/** Where an external tensor's bytes are. */
export interface ExternalLocation {
  /** Path relative to the model's folder, as the file says it. */
  readonly location: string;
  readonly offset: number;
  /** In bytes; what the tensor's type and dims say, checked against the file's own `length` if it gives one. */
  readonly length: number;
  readonly checksum: string | undefined;
}

export function isExternal(tensor: TensorProto): boolean {
  return tensor.dataLocation === DataLocation.EXTERNAL;
}

/**
 * The external location that a tensor states, checked as far as the tensor alone allows.
 * @throws OnnxError `external-path`, `external-range`, `invalid-tensor`, or `no-data` if the tensor is not external.
 */
export function externalLocation(tensor: TensorProto): ExternalLocation {
  const name = tensor.name ?? '';
  if (!isExternal(tensor)) throw new OnnxError('no-data', `tensor '${name}' is not external`);
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key ?? '', value ?? '']));
  const location = entries.get('location') ?? '';
  checkLocation(location, name);
  const offset = byteNumber(entries.get('offset') ?? '0', 'offset', name);
  const stated = entries.get('length');
  const { byteLength } = describeTensor(tensor);
  const length = stated === undefined ? byteLength : byteNumber(stated, 'length', name);
  if (length !== byteLength) {
    throw new OnnxError(
      'external-range',
      `tensor '${name}' takes ${byteLength} bytes by type and dims, but its external length is ${length}`,
    );
  }
  return { location, offset, length, checksum: entries.get('checksum') };
}

/** Makes a tensor refer to bytes in another file, and drops inline data. */
export function setExternalLocation(
  tensor: TensorProto,
  place: { readonly location: string; readonly offset: number; readonly length: number },
): void {
  checkLocation(place.location, tensor.name ?? '');
  tensor.rawData = undefined;
  tensor.dataLocation = DataLocation.EXTERNAL;
  tensor.externalData = [
    { key: 'location', value: place.location },
    { key: 'offset', value: String(place.offset) },
    { key: 'length', value: String(place.length) },
  ];
}

/** All external tensors of a model, with their places; each location checked as {@link externalLocation} does. */
export function externalTensors(
  model: ModelProto,
): { readonly tensor: TensorProto; readonly path: string; readonly place: ExternalLocation }[] {
  const found: { tensor: TensorProto; path: string; place: ExternalLocation }[] = [];
  visitTensors(model, (tensor, path) => {
    if (!isExternal(tensor)) return;
    try {
      found.push({ tensor, path: path(), place: externalLocation(tensor) });
    } catch (error) {
      throw error instanceof OnnxError ? error.at({ path: path() }) : error;
    }
  });
  return found;
}

function checkLocation(location: string, tensor: string): void {
  const fail = (what: string) =>
    new OnnxError(
      'external-path',
      `tensor '${tensor}' has its data in ${what}`,
      {},
      {
        todo: 'only files in the folder of the model are read; do not trust this file',
      },
    );
  if (location === '') throw new OnnxError('external-path', `tensor '${tensor}' is external without a location`);
  if (location.includes('\0')) throw fail('a path with a NUL in it');
  if (isAbsolute(location) || /^[/\\]|^[A-Za-z]:/.test(location)) throw fail(`'${location}', an absolute path`);
  if (location.split(/[/\\]/).includes('..')) throw fail(`'${location}', which leads out of the model's folder`);
}

function byteNumber(text: string, key: string, tensor: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    throw new OnnxError(
      'external-range',
      `tensor '${tensor}' has an external ${key} of '${text.slice(0, 40)}'`,
      {},
      {
        todo: 'it must be a count of bytes',
      },
    );
  }
  return value;
}

/**
 * Reads byte ranges of the files beside a model. A file is opened when first read, after its real path was found to be
 * inside the folder; files stay open until {@link ExternalFiles.close}.
 */
export class ExternalFiles {
  readonly #folder: string;
  readonly #open = new Map<string, Promise<{ handle: FileHandle; size: number }>>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * The real path of a location and the file's size. Nothing is opened.
   * @throws OnnxError `external-path` for what leaves the folder (through symlinks too) or is no regular file, `io` for what is missing.
   */
  async resolve(location: string): Promise<{ readonly path: string; readonly size: number }> {
    checkLocation(location, location);
    const file = join(this.#folder, location);
    try {
      const root = await realpath(this.#folder);
      const path = await realpath(file);
      if (!path.startsWith(root.endsWith(sep) ? root : root + sep)) {
        throw new OnnxError(
          'external-path',
          `'${location}' is a link that leads out of the model's folder`,
          { file },
          {
            todo: 'only files in the folder of the model are read; put the data itself there',
          },
        );
      }
      const found = await stat(path);
      if (!found.isFile()) throw new OnnxError('external-path', `'${location}' is not a regular file`, { file });
      return { path, size: found.size };
    } catch (cause) {
      if (cause instanceof OnnxError) throw cause;
      throw ioError(cause, `the external data '${location}' cannot be found`, file);
    }
  }

  /**
   * Checks that every place lies within its file, without opening any. One look at each file, however many tensors.
   * @throws OnnxError as {@link ExternalFiles.resolve}, and `external-range`.
   */
  async check(tensors: Iterable<{ readonly path: string; readonly place: ExternalLocation }>): Promise<void> {
    const sizes = new Map<string, number>();
    for (const { path, place } of tensors) {
      try {
        let size = sizes.get(place.location);
        if (size === undefined) {
          size = (await this.resolve(place.location)).size;
          sizes.set(place.location, size);
        }
        checkRange(place, size);
      } catch (error) {
        throw error instanceof OnnxError ? error.at({ path }) : error;
      }
    }
  }

  /** `length` bytes from `offset` of the file at `location`, at the start of `into`, or in a new buffer. */
  async read(
    location: string,
    offset: number,
    length: number,
    into: Uint8Array = new Uint8Array(length),
  ): Promise<Uint8Array> {
    const { handle, size } = await this.#handle(location);
    checkRange({ location, offset, length }, size);
    const bytes = into.subarray(0, length);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 2 ** 30), offset + done);
      if (bytesRead === 0) {
        throw new OnnxError('external-range', `'${location}' has become shorter while it was read`, {
          file: join(this.#folder, location),
        });
      }
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    const opened = [...this.#open.values()];
    this.#open.clear();
    for (const file of opened) {
      const settled = await file.catch(() => undefined);
      await settled?.handle.close();
    }
  }

  #handle(location: string): Promise<{ handle: FileHandle; size: number }> {
    const known = this.#open.get(location);
    if (known !== undefined) return known;
    const opening = this.#openFile(location);
    this.#open.set(location, opening);
    opening.catch(() => this.#open.delete(location));
    return opening;
  }

  async #openFile(location: string): Promise<{ handle: FileHandle; size: number }> {
    const { path } = await this.resolve(location);
    let handle: FileHandle;
    try {
      // The path is real, so a link here means that it was swapped after the check.
      handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (cause) {
      throw ioError(cause, `the external data '${location}' cannot be opened`, path);
    }
    const { size } = await handle.stat();
    return { handle, size };
  }
}

function checkRange(
  place: { readonly location: string; readonly offset: number; readonly length: number },
  size: number,
) {
  if (place.offset + place.length > size) {
    throw new OnnxError(
      'external-range',
      `bytes ${place.offset} to ${place.offset + place.length} of '${place.location}' are wanted, which has ${size}`,
      {},
      { todo: 'the data file is cut off or belongs to another model: get it again' },
    );
  }
}

/** A file system error as an OnnxError of code `io`. */
export function ioError(cause: unknown, what: string, file: string): OnnxError {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  const [reason, todo] = REASONS[code ?? ''] ?? [cause instanceof Error ? cause.message : String(cause)];
  return new OnnxError('io', `${what}: ${reason}`, { file }, { cause, ...(todo === undefined ? {} : { todo }) });
}

/** What an error code means, and what to do. */
const REASONS: Readonly<Record<string, readonly [reason: string, todo?: string]>> = {
  ENOENT: ['there is no such file or folder'],
  EACCES: ['permission denied', 'check the permissions of the file and its folder'],
  EPERM: ['operation not permitted', 'check the permissions of the file and its folder'],
  EISDIR: ['it is a folder', 'name a file'],
  ENOTDIR: ['a part of the path is not a folder'],
  ENOSPC: ['no space is left on the device', 'free some, or write elsewhere'],
  EDQUOT: ['the disk quota is used up', 'free some space, or write elsewhere'],
  EROFS: ['the file system is read-only', 'write elsewhere'],
  EMFILE: ['too many files are open'],
  ELOOP: ['the path is a link, or a loop of links'],
  ENAMETOOLONG: ['the name is too long'],
};
