import { toFloat64 } from '../tensors/elements.js';
import { addProducts, readMatrix, transpose } from '../tensors/products.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';
import type { NormCompute, NormRequest } from './norm.js';

/** Bytes of W that are held at once. */
const CHUNK_BYTES = 16 * 1024 * 1024;

/**
 * g in float64, dense, a chunk of W at a time: the reference, and what is used where no faster computation is given.
 *
 * Each row of W + s·B·A is formed in float64 and then squared and summed, so nothing cancels that does not cancel in
 * the matrix itself; the result is rounded to float32 once. Work: out·in·r multiplications, about two seconds per 10⁹.
 * Memory: A, B, m and one chunk of W.
 */
export async function denseNorm(request: NormRequest): Promise<Float32Array> {
  const { outFeatures, inFeatures, rank } = request;
  const a = await readMatrix(request.loraA, request.transA, rank, inFeatures);
  const b = await readMatrix(request.loraB, request.transB, outFeatures, rank);
  for (let index = 0; index < b.length; index++) b[index] = request.scaling * b[index]!;
  const m = toFloat64(await request.magnitude.read(), request.magnitude.type);
  const squares = request.transW === 0 ? await rowSquares(request, a, b) : await transposedRowSquares(request, a, b);
  return Float32Array.from(squares, (square, row) => m[row]! / Math.sqrt(square));
}

/** {@link denseNorm} of one module after another. */
export const denseNorms: NormCompute = async function* (requests) {
  for (const request of requests) yield await denseNorm(request);
};

/** W stored `[out, in]`: whole rows per chunk. */
async function rowSquares(request: NormRequest, a: Float64Array, scaledB: Float64Array): Promise<Float64Array> {
  const { weight, outFeatures, inFeatures, rank, signal } = request;
  const squares = new Float64Array(outFeatures);
  const adapted = new Float64Array(inFeatures);
  for await (const { first, count, values } of chunks(weight, outFeatures, inFeatures, signal)) {
    for (let row = 0; row < count; row++) {
      adapted.set(values.subarray(row * inFeatures, (row + 1) * inFeatures));
      addProducts(adapted, scaledB, (first + row) * rank, a, rank);
      let square = 0;
      for (let column = 0; column < inFeatures; column++) square += adapted[column]! * adapted[column]!;
      squares[first + row] = square;
    }
  }
  return squares;
}

/** W stored `[in, out]`: each stored row adds to the squares of all outputs. */
async function transposedRowSquares(
  request: NormRequest,
  a: Float64Array,
  scaledB: Float64Array,
): Promise<Float64Array> {
  const { weight, outFeatures, inFeatures, rank, signal } = request;
  const squares = new Float64Array(outFeatures);
  const adapted = new Float64Array(outFeatures);
  const at = transpose(a, rank, inFeatures);
  const bt = transpose(scaledB, outFeatures, rank);
  for await (const { first, count, values } of chunks(weight, inFeatures, outFeatures, signal)) {
    for (let row = 0; row < count; row++) {
      adapted.set(values.subarray(row * outFeatures, (row + 1) * outFeatures));
      addProducts(adapted, at, (first + row) * rank, bt, rank);
      for (let column = 0; column < outFeatures; column++) squares[column]! += adapted[column]! * adapted[column]!;
    }
  }
  return squares;
}

async function* chunks(tensor: FloatTensor, rows: number, columns: number, signal: AbortSignal | undefined) {
  const rowBytes = tensor.byteLength / rows;
  const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(1, columns * 8)));
  for (let first = 0; first < rows; first += rowsPerChunk) {
    signal?.throwIfAborted();
    const count = Math.min(rowsPerChunk, rows - first);
    const bytes = await tensor.read(first * rowBytes, (first + count) * rowBytes);
    yield { first, count, values: toFloat64(bytes, tensor.type) };
  }
}
