/**
 * The header of a safetensors file: which tensors there are, and where. Checked as the reference implementation does,
 * and beyond it that no key comes twice.
 */

import { AdapterError } from '../errors.js';
import { isObject, JsonError, parseJson } from '../json.js';
import { ELEMENT_BYTES, type FloatType, floatType } from './dtype.js';

/** One tensor of a file. Offsets are from the start of the file. */
export interface TensorPlace {
  readonly type: FloatType;
  readonly dims: readonly number[];
  readonly offset: number;
  readonly byteLength: number;
}

export interface Header {
  /** The strings of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorPlace>;
}

/** In front of the header: its length, as 64 bits. */
export const LENGTH_BYTES = 8;

/** An adapter of 10,000 modules needs a tenth. */
const MAX_HEADER_BYTES = 32 * 2 ** 20;

/**
 * How long the header is.
 * @param first the first {@link LENGTH_BYTES} bytes of the file
 * @throws AdapterError `malformed` if the file has no room for it, or it is larger than any adapter's.
 */
export function headerLength(first: Uint8Array, fileBytes: number, file: string): number {
  const length = new DataView(first.buffer, first.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > fileBytes - LENGTH_BYTES) {
    throw malformed(file, `its header is said to take ${length} bytes, and the file has ${fileBytes}`);
  }
  if (length > MAX_HEADER_BYTES) {
    throw malformed(file, `its header takes ${length} bytes, more than the ${MAX_HEADER_BYTES} that are read`);
  }
  return Number(length);
}

/**
 * Parses and checks a header.
 * @throws AdapterError `malformed`; `dtype` for elements other than float32, float16 and bfloat16.
 */
export function parseHeader(bytes: Uint8Array, fileBytes: number, file: string): Header {
  const header = parseObject(bytes, file);
  const dataStart = LENGTH_BYTES + bytes.length;
  const tensors = Object.entries(header)
    .filter(([name]) => name !== METADATA)
    .map(([name, entry]) => ({ name, place: parsePlace(name, entry, dataStart, file) }))
    .sort((a, b) => a.place.offset - b.place.offset || a.place.byteLength - b.place.byteLength);
  let end = dataStart;
  for (const { name, place } of tensors) {
    if (place.offset !== end) {
      const what = place.offset < end ? 'overlaps the tensor before it' : 'leaves a gap behind the tensor before it';
      throw malformed(file, `tensor '${name}' ${what}`);
    }
    end += place.byteLength;
  }
  if (end !== fileBytes) {
    throw malformed(file, `its tensors end at byte ${end}, and the file at byte ${fileBytes}`);
  }
  return {
    metadata: parseMetadata(header[METADATA], file),
    tensors: new Map(tensors.map(({ name, place }) => [name, place])),
  };
}

/** The key of the header that is not a tensor. */
export const METADATA = '__metadata__';

function parseObject(bytes: Uint8Array, file: string): Readonly<Record<string, unknown>> {
  if (bytes[0] !== 0x7b) throw malformed(file, 'its header does not start with {');
  let header: unknown;
  try {
    header = parseJson(bytes);
  } catch (error) {
    if (error instanceof JsonError) throw malformed(file, `its header cannot be read: ${error.message}`);
    throw error;
  }
  if (!isObject(header)) throw malformed(file, 'its header is not an object');
  return header;
}

function parsePlace(name: string, entry: unknown, dataStart: number, file: string): TensorPlace {
  const fail = (what: string) => malformed(file, `tensor '${name}' ${what}`);
  if (!isObject(entry)) throw fail('has no description');
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string') throw fail('has no dtype');
  const type = floatType(dtype);
  if (type === undefined) {
    throw new AdapterError('dtype', file, `tensor '${name}' is of type ${dtype}`, {
      todo: 'adapters are read in F32, F16 and BF16: save it again in one of them',
    });
  }
  if (!isSizes(shape) || shape.length > MAX_AXES) throw fail('has no shape');
  if (!isSizes(offsets) || offsets.length !== 2) throw fail('has no data_offsets');
  const [start, end] = offsets as [number, number];
  const byteLength = shape.reduce((product, size) => product * size, ELEMENT_BYTES[type]);
  if (end - start !== byteLength) {
    throw fail(`of ${dtype} [${shape.join(', ')}] takes ${byteLength} bytes, and its offsets are ${start} and ${end}`);
  }
  return { type, dims: shape, offset: dataStart + start, byteLength };
}

/** More than a convolution of any kind has. */
const MAX_AXES = 8;

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function parseMetadata(value: unknown, file: string): ReadonlyMap<string, string> {
  if (value === undefined) return new Map();
  if (!isObject(value)) throw malformed(file, 'its __metadata__ is not an object');
  return new Map(
    Object.entries(value).map(([key, text]) => {
      if (typeof text !== 'string') throw malformed(file, `the entry '${key}' of its __metadata__ is not a string`);
      return [key, text];
    }),
  );
}

function malformed(file: string, what: string): AdapterError {
  return new AdapterError('malformed', file, what, { todo: 'get the file again, or save the adapter again with PEFT' });
}
