/** Tensors as binary data behind the JSON object: little-endian, row-major, without padding (Triton's extension). */
import { endianness } from 'node:os';
import { type TensorData, typedArrayClass } from '@ort-dora/runtime';
import { HttpError } from '../errors.js';
import type { ServableType } from '../models/model.js';
import { type Datatype, ELEMENT_BYTES } from './datatypes.js';

if (endianness() !== 'LE') throw new Error('@ort-dora/server needs a little-endian machine');

/**
 * A tensor of `count` elements from its bytes: a view of them where they are aligned, else a copy.
 * @throws HttpError 400 naming the input
 */
export function decodeBinaryData(
  what: string,
  datatype: Datatype,
  type: ServableType,
  count: number,
  bytes: Uint8Array<ArrayBuffer>,
): TensorData['data'] {
  if (datatype === 'BYTES' || type === 'string') return decodeStrings(what, count, bytes);
  const expected = count * ELEMENT_BYTES[datatype];
  if (bytes.length !== expected) {
    throw new HttpError(
      400,
      `${what}: ${count} elements of ${datatype} take ${expected} bytes, binary_data_size is ${bytes.length}`,
    );
  }
  if (type === 'bool' && bytes.some((byte) => byte > 1)) {
    throw new HttpError(400, `${what}: BOOL elements are the bytes 0 and 1, got ${bytes.find((byte) => byte > 1)}`);
  }
  const ArrayType = typedArrayClass(type);
  const aligned = bytes.byteOffset % ArrayType.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new ArrayType(aligned.buffer, aligned.byteOffset, count);
}

/** Each element: its length as a little-endian uint32, then its bytes, which must be UTF-8 as ONNX strings are. */
function decodeStrings(what: string, count: number, bytes: Uint8Array<ArrayBuffer>): string[] {
  // Every element has at least its length, so this also bounds the array that is allocated.
  if (bytes.length < count * 4) {
    throw new HttpError(
      400,
      `${what}: ${count} elements of BYTES take at least ${count * 4} bytes, binary_data_size is ${bytes.length}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const strings = new Array<string>(count);
  let offset = 0;
  for (let index = 0; index < count; index += 1) {
    const length = offset + 4 <= bytes.length ? view.getUint32(offset, true) : Number.POSITIVE_INFINITY;
    if (offset + 4 + length > bytes.length) {
      throw new HttpError(
        400,
        `${what}: element ${index} of ${count} reaches beyond the ${bytes.length} bytes of binary_data_size`,
      );
    }
    try {
      strings[index] = decoder.decode(bytes.subarray(offset + 4, offset + 4 + length));
    } catch {
      throw new HttpError(400, `${what}: element ${index} is not valid UTF-8, which ONNX strings are`);
    }
    offset += 4 + length;
  }
  if (offset !== bytes.length) {
    throw new HttpError(
      400,
      `${what}: ${count} elements end after ${offset} bytes, binary_data_size is ${bytes.length}`,
    );
  }
  return strings;
}

/** The bytes of a tensor: the tensor's own memory, except for strings. */
export function encodeBinaryData({ type, data }: TensorData): Uint8Array {
  if (type === 'string') return encodeStrings(data as readonly string[]);
  const view = data as ArrayBufferView;
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

function encodeStrings(strings: readonly string[]): Uint8Array {
  const parts = strings.flatMap((value) => {
    const content = Buffer.from(value, 'utf8');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(content.length);
    return [length, content];
  });
  return Buffer.concat(parts);
}
