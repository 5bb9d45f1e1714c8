/** Reading a stored matrix a range of outputs at a time, into memory that is used again. */

import { ELEMENT_BYTES } from '@ort-dora/adapters';
import type { FloatTensor, FloatType, Transposed } from '@ort-dora/rewriter';
import type { TensorData } from '@ort-dora/runtime';

/** A matrix `[outputs, inner]`, or with `transposed` stored as `[inner, outputs]`. */
export interface StoredOutputs {
  readonly tensor: FloatTensor;
  readonly transposed: Transposed;
  readonly outputs: number;
  readonly inner: number;
}

export interface Range {
  readonly first: number;
  readonly count: number;
}

/** Outputs `[first, first + count)` of the matrix in its stored layout: whole rows, or a strip of columns put together. */
export async function readOutputs(
  { tensor, transposed, outputs, inner }: StoredOutputs,
  { first, count }: Range,
  memory: Memory,
): Promise<TensorData> {
  const width = ELEMENT_BYTES[tensor.type];
  const target = memory.bytes(count * inner * width);
  if (transposed === 0) {
    await readInto(tensor, first * inner * width, target);
    return tensorOf(tensor.type, [count, inner], target);
  }
  if (count === outputs) await readInto(tensor, 0, target);
  else await readStrip(tensor, { rows: inner, rowBytes: outputs * width, from: first * width }, target);
  return tensorOf(tensor.type, [inner, count], target);
}

/** All of a tensor. */
export async function readAll(tensor: FloatTensor, dims: readonly number[], memory: Memory): Promise<TensorData> {
  const target = memory.bytes(tensor.byteLength);
  await readInto(tensor, 0, target);
  return tensorOf(tensor.type, dims, target);
}

/** Memory for one tensor at a time, of the size of the largest: best known from the start. */
export class Memory {
  #buffer: ArrayBuffer;

  constructor(size = 0) {
    this.#buffer = new ArrayBuffer(size);
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    if (this.#buffer.byteLength < length) this.#buffer = new ArrayBuffer(length);
    return new Uint8Array(this.#buffer, 0, length);
  }
}

/** Pieces of rows from this size on are read one by one; smaller ones are cut out of whole rows, read many at once. */
const PIECE_BYTES = 256 * 1024;
const BLOCK_BYTES = 4 * 2 ** 20;

interface Strip {
  readonly rows: number;
  readonly rowBytes: number;
  /** Where in a row the strip begins. */
  readonly from: number;
}

async function readStrip(tensor: FloatTensor, { rows, rowBytes, from }: Strip, target: Uint8Array): Promise<void> {
  const piece = target.length / rows;
  if (piece >= PIECE_BYTES) {
    for (let row = 0; row < rows; row++) {
      await readInto(tensor, row * rowBytes + from, target.subarray(row * piece, (row + 1) * piece));
    }
    return;
  }
  const rowsAtOnce = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes));
  const block = new Uint8Array(Math.min(rows, rowsAtOnce) * rowBytes);
  for (let first = 0; first < rows; first += rowsAtOnce) {
    const count = Math.min(rowsAtOnce, rows - first);
    const bytes = await tensor.read(first * rowBytes, (first + count) * rowBytes, block);
    for (let row = 0; row < count; row++) {
      const start = row * rowBytes + from;
      target.set(bytes.subarray(start, start + piece), (first + row) * piece);
    }
  }
}

/** Read in parts, two at once: while the bytes of one are copied, which takes a core from who computes, the disk answers the other. */
async function readInto(tensor: FloatTensor, start: number, target: Uint8Array): Promise<void> {
  let next = 0;
  const readParts = async () => {
    while (next < target.length) {
      const part = target.subarray(next, next + AT_ONCE_BYTES);
      const from = start + next;
      next += part.length;
      const bytes = await tensor.read(from, from + part.length, part);
      if (bytes.buffer !== part.buffer) part.set(bytes);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, readParts));
}

const AT_ONCE_BYTES = 16 * 2 ** 20;
const IN_FLIGHT = 2;

/** Bytes at the start of a buffer as a tensor. */
export function tensorOf(
  type: FloatType,
  dims: readonly number[],
  { buffer, length }: Uint8Array<ArrayBuffer>,
): TensorData {
  return type === 'float32'
    ? { type, dims, data: new Float32Array(buffer, 0, length / 4) }
    : { type, dims, data: new Uint16Array(buffer, 0, length / 2) };
}
