/** Reads NumPy's .npy arrays: the little-endian numeric types, bool, and bfloat16 as ml_dtypes stores it. */

import { VerifyError } from '../error.js';
import { type ElementType, elementCount, storageOf, type TensorData } from '../tensor.js';

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
const maxHeaderBytes = 65_536;
const maxRank = 32;

const elementTypes: Readonly<Record<string, ElementType>> = {
  '|b1': 'bool',
  '|i1': 'int8',
  '|u1': 'uint8',
  '<i2': 'int16',
  '<u2': 'uint16',
  '<i4': 'int32',
  '<u4': 'uint32',
  '<i8': 'int64',
  '<u8': 'uint64',
  '<f2': 'float16',
  '<f4': 'float32',
  '<f8': 'float64',
  '|V2': 'bfloat16',
  '<V2': 'bfloat16',
};

/**
 * The array of a .npy file (format 1.0 to 3.0). Arrays in Fortran order are turned into row-major order.
 *
 * @param where what to call the file in an error
 * @throws VerifyError BAD_INPUT_FILE: not a .npy file, an unsupported type, or a size that the bytes do not have
 */
export function readNpy(bytes: Uint8Array, where: string): TensorData {
  const header = readHeader(bytes, where);
  const type = elementTypes[header.descr];
  if (type === undefined) {
    throw bad(where, `holds elements of type ${JSON.stringify(header.descr)}; save it as one of ${knownTypes()}`);
  }
  const count = elementCount(header.shape);
  const Storage = storageOf(type);
  const expected = count * Storage.BYTES_PER_ELEMENT;
  const body = bytes.subarray(header.end);
  if (body.byteLength !== expected) {
    throw bad(where, `has ${body.byteLength} bytes of data where shape [${header.shape}] of ${type} needs ${expected}`);
  }
  const data = new Storage(new Uint8Array(body).buffer);
  return { type, dims: header.shape, data: header.fortran ? toRowMajor(data, header.shape) : data };
}

interface NpyHeader {
  readonly descr: string;
  readonly fortran: boolean;
  readonly shape: number[];
  /** Where the data begin. */
  readonly end: number;
}

function readHeader(bytes: Uint8Array, where: string): NpyHeader {
  if (bytes.length < 10 || magic.some((byte, i) => bytes[i] !== byte)) throw bad(where, 'is not a .npy array');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = view.getUint8(6);
  if (major < 1 || major > 3) throw bad(where, `is of .npy version ${major}; versions 1 to 3 are known`);
  const start = major === 1 ? 10 : 12;
  if (bytes.length < start) throw bad(where, 'ends inside its header');
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const end = start + length;
  if (length > maxHeaderBytes) throw bad(where, `has a header of ${length} bytes; at most ${maxHeaderBytes} are read`);
  if (end > bytes.length) throw bad(where, 'ends inside its header');
  const text = new TextDecoder().decode(bytes.subarray(start, end));

  const descr = /'descr':\s*'([^']{1,16})'/.exec(text)?.[1];
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const shape = /'shape':\s*\(([\d,\sL]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || shape === undefined) {
    throw bad(where, 'has a header without descr, fortran_order or shape (records and objects are not read)');
  }
  const dims = shape
    .split(',')
    .map((part) => part.trim().replace(/L$/, ''))
    .filter((part) => part !== '')
    .map(Number);
  if (dims.length > maxRank) throw bad(where, `has ${dims.length} dimensions; at most ${maxRank} are read`);
  if (!dims.every(Number.isSafeInteger) || !Number.isSafeInteger(elementCount(dims))) {
    throw bad(where, `has shape (${shape}), which is too large`);
  }
  return { descr, fortran: fortran === 'True', shape: dims, end };
}

function toRowMajor<T extends TensorData['data']>(data: T, dims: readonly number[]): T {
  const strides = dims.map((_, axis) => elementCount(dims.slice(0, axis)));
  const out = data.slice() as T;
  const index = dims.map(() => 0);
  for (let to = 0; to < data.length; to++) {
    out[to] = data[index.reduce((from, i, axis) => from + i * strides[axis]!, 0)]!;
    for (let axis = dims.length - 1; axis >= 0 && ++index[axis]! === dims[axis]; axis--) index[axis] = 0;
  }
  return out;
}

const knownTypes = () => [...new Set(Object.values(elementTypes))].join(', ');

const bad = (where: string, what: string) => new VerifyError('BAD_INPUT_FILE', `${where} ${what}`);
