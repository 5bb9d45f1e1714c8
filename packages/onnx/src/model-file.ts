import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { DecodeLimits } from './decode.js';
import type { ElementType } from './element-types.js';
import { OnnxError } from './errors.js';
import { ExternalFiles, externalLocation, externalTensors, ioError } from './external-data.js';
import type { ModelProto, TensorProto } from './messages.js';
import { decodeModel } from './model-codec.js';
import { asElements, describeTensor, type ElementArray, inlineBytes, toFloat32 } from './tensor.js';
import { validateModel } from './validate.js';

export interface OpenOptions {
  readonly limits?: DecodeLimits;
  /** `false` skips {@link validateModel}; places of external data are checked all the same. */
  readonly validate?: boolean;
}

/** A tensor with its elements. */
export interface TensorElements {
  readonly name: string;
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly data: ElementArray;
}

/** Bytes of a tensor's raw data, from `offset`. */
export interface ByteRange {
  readonly offset?: number;
  readonly length?: number;
  /** Where bytes that are not in memory yet may be put: at least as long, and the result is then its start. */
  readonly into?: Uint8Array;
}

const MAX_FILE_BYTES = 2 ** 31 - 1;
const STREAM_CHUNK_BYTES = 4 * 2 ** 20;

/**
 * Opens an .onnx file. External data stays where it is: places are checked (inside the model's folder, within their
 * files), no byte of them is read. The model is validated.
 * @throws OnnxError `io`, `too-large`, `malformed`, `limit`, `external-path`, `external-range`, and what
 * {@link validateModel} finds.
 */
export async function openModel(path: string, options: OpenOptions = {}): Promise<ModelFile> {
  const file = resolve(path);
  const bytes = await readWhole(file);
  try {
    const model = decodeModel(bytes, options.limits);
    if (options.validate !== false) validateModel(model);
    const external = new ExternalFiles(dirname(file));
    await external.check(externalTensors(model));
    return new ModelFile(file, model, external);
  } catch (error) {
    throw error instanceof OnnxError ? error.at({ file }) : error;
  }
}

/** An opened model: its messages, and its tensors' elements on demand. Close it to release external data files. */
export class ModelFile {
  readonly #external: ExternalFiles;

  /** Use {@link openModel}. */
  constructor(
    /** Absolute. */
    readonly path: string,
    readonly model: ModelProto,
    external: ExternalFiles,
  ) {
    this.#external = external;
  }

  /** The folder that external locations are relative to. */
  get folder(): string {
    return dirname(this.path);
  }

  /**
   * Raw little-endian bytes of a tensor, or a range of them. Inline data is not copied where the file has it raw.
   * @throws OnnxError `external-range` for a range outside the tensor, and what {@link openModel} checks.
   */
  async readBytes(tensor: TensorProto, range: ByteRange = {}): Promise<Uint8Array> {
    const { name, byteLength, storage } = describeTensor(tensor);
    const offset = range.offset ?? 0;
    const length = range.length ?? byteLength - offset;
    if (![offset, length].every((value) => Number.isSafeInteger(value) && value >= 0) || offset + length > byteLength) {
      throw new OnnxError(
        'external-range',
        `tensor '${name}' has ${byteLength} bytes, not ${length} from ${offset} on`,
      );
    }
    if (storage !== 'external') return inlineBytes(tensor).subarray(offset, offset + length);
    const place = externalLocation(tensor);
    if (range.into !== undefined && range.into.length < length) {
      throw new RangeError(`tensor '${name}': ${length} bytes do not fit into ${range.into.length}`);
    }
    return this.#external.read(place.location, place.offset + offset, length, range.into);
  }

  /** All elements of a tensor. */
  async readTensor(tensor: TensorProto): Promise<TensorElements> {
    const { name, type, dims } = describeTensor(tensor);
    return { name, type, dims, data: asElements(await this.readBytes(tensor), type) };
  }

  /** All elements of a floating-point tensor as float32 (float64 is rounded). */
  async readFloat32(tensor: TensorProto): Promise<Float32Array> {
    return toFloat32(await this.readBytes(tensor), describeTensor(tensor).type);
  }

  /** The raw bytes of a tensor, a chunk at a time. */
  async *streamBytes(tensor: TensorProto, chunkBytes = STREAM_CHUNK_BYTES): AsyncGenerator<Uint8Array> {
    const { byteLength } = describeTensor(tensor);
    for (let offset = 0; offset < byteLength; offset += chunkBytes) {
      yield this.readBytes(tensor, { offset, length: Math.min(chunkBytes, byteLength - offset) });
    }
  }

  /** The real path and size of an external data file: for those who copy or link it. */
  resolveLocation(location: string): Promise<{ readonly path: string; readonly size: number }> {
    return this.#external.resolve(location);
  }

  close(): Promise<void> {
    return this.#external.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function readWhole(file: string): Promise<Uint8Array> {
  try {
    const handle = await open(file, 'r');
    try {
      const found = await handle.stat();
      if (!found.isFile()) throw new OnnxError('io', 'this is not a regular file', { file });
      if (found.size > MAX_FILE_BYTES) {
        throw new OnnxError(
          'too-large',
          `this has ${found.size} bytes, and protobuf ends at 2 GiB`,
          { file },
          {
            todo: 'export the model with external data',
          },
        );
      }
      const bytes = new Uint8Array(found.size);
      for (let done = 0; done < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, done, Math.min(bytes.length - done, 2 ** 30), done);
        if (bytesRead === 0) return bytes.subarray(0, done);
        done += bytesRead;
      }
      return bytes;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof OnnxError) throw cause;
    throw ioError(cause, 'the model cannot be read', file);
  }
}
