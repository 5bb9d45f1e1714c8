import { toFloat64 } from '../tensors/elements.js';
import { addProducts, readMatrix } from '../tensors/products.js';
import { encodeRounded } from '../tensors/round.js';
import { factorsOf, type MergeCompute, type MergeRequest, storedShape } from './merge-compute.js';

/** Bytes of float64 that are held at once, besides A and B. */
const CHUNK_BYTES = 16 * 2 ** 20;

/**
 * W' in float64, rounded once: the reference, and what is used where no faster computation is given. Work: out·in·r
 * multiplications on one core, about two seconds per 10⁹.
 */
export const mergeExactly: MergeCompute = async function* (request) {
  const { weight, type, signal } = request;
  const [rows, columns] = storedShape(request);
  const adapters = await readAdapters(request);
  const rowBytes = weight.byteLength / rows;
  const rowsAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(1, 8 * columns)));
  for (let first = 0; first < rows; first += rowsAtOnce) {
    signal?.throwIfAborted();
    const end = Math.min(first + rowsAtOnce, rows);
    const values = toFloat64(await weight.read(first * rowBytes, end * rowBytes), weight.type);
    for (let row = first; row < end; row++) {
      adapt(values.subarray((row - first) * columns, (row - first + 1) * columns), row, adapters);
    }
    yield encodeRounded(values, type);
  }
};

/** One adapter in float64, in the layout of W. */
interface ExactAdapter {
  readonly left: Float64Array;
  readonly right: Float64Array;
  readonly rank: number;
  /** Of a stored row's elements: g of its output, or of each element's. */
  readonly gain: (row: number, column: number) => number;
}

async function readAdapters(request: MergeRequest): Promise<readonly ExactAdapter[]> {
  const { transW } = request;
  const [rows, columns] = storedShape(request);
  const read: ExactAdapter[] = [];
  for (const adapter of request.adapters) {
    const { rank, scaling, gain } = adapter;
    const factors = factorsOf(adapter, transW);
    const left = await readMatrix(factors.left.tensor, factors.left.transposed, rows, rank);
    for (let index = 0; index < left.length; index++) left[index]! *= scaling;
    const right = await readMatrix(factors.right.tensor, factors.right.transposed, rank, columns);
    read.push({ left, right, rank, gain: transW === 0 ? (row) => gain[row]! : (_, column) => gain[column]! });
  }
  return read;
}

function adapt(row: Float64Array, index: number, adapters: readonly ExactAdapter[]): void {
  for (const { left, right, rank, gain } of adapters) {
    addProducts(row, left, index * rank, right, rank);
    for (let column = 0; column < row.length; column++) row[column]! *= gain(index, column);
  }
}
