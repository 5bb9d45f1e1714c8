import { numbersOf } from '../tensors/numbers.js';
import type { StoredTensor } from '../tensors/stored-tensor.js';

/** Bytes held at once; their numbers take eight times as much. */
const CHUNK_BYTES = 1024 * 1024;

/** Whether a stored square matrix of truth values or numbers is the identity. */
export async function isIdentityMatrix(matrix: StoredTensor, signal?: AbortSignal): Promise<boolean> {
  const [size = 0, columns = 0] = matrix.dims;
  if (matrix.dims.length !== 2 || size !== columns) return false;
  const rowBytes = size === 0 ? 0 : matrix.byteLength / size;
  const step = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(1, rowBytes)));
  for (let first = 0; first < size; first += step) {
    signal?.throwIfAborted();
    const count = Math.min(step, size - first);
    const values = numbersOf(await matrix.read(first * rowBytes, (first + count) * rowBytes), matrix.dataType);
    if (values === undefined) return false;
    for (let row = 0; row < count; row++) {
      for (let column = 0; column < size; column++) {
        if (values[row * size + column] !== (column === first + row ? 1 : 0)) return false;
      }
    }
  }
  return true;
}

/** Whether a stored vector, row or column counts 0, 1, 2, … */
export async function countsFromZero(counter: StoredTensor): Promise<boolean> {
  const values = numbersOf(await counter.read(), counter.dataType);
  return values?.every((value, index) => value === index) ?? false;
}
