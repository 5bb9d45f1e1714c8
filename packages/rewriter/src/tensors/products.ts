/** Matrix arithmetic in float64. */

import type { Transposed } from '../functions/form.js';
import { toFloat64 } from './elements.js';
import type { FloatTensor } from './stored-tensor.js';

/** A stored matrix as `[rows, columns]`, whichever way round it is stored. */
export async function readMatrix(
  tensor: FloatTensor,
  transposed: Transposed,
  rows: number,
  columns: number,
): Promise<Float64Array> {
  const values = toFloat64(await tensor.read(), tensor.type);
  return transposed === 0 ? values : transpose(values, columns, rows);
}

/** Where a range begins, and how long it is. */
export type Span = readonly [first: number, count: number];

/** A part of a stored matrix of `shape`, as `[rows, columns]`, whichever way round it is stored; only that part is read. */
export async function readBlock(
  { tensor, transposed }: { readonly tensor: FloatTensor; readonly transposed: Transposed },
  [height, width]: readonly [rows: number, columns: number],
  rows: Span,
  columns: Span,
): Promise<Float64Array> {
  if (transposed === 1) {
    const block = await readBlock({ tensor, transposed: 0 }, [width, height], columns, rows);
    return transpose(block, columns[1], rows[1]);
  }
  const elementBytes = tensor.byteLength / Math.max(1, height * width);
  const block = new Float64Array(rows[1] * columns[1]);
  for (let row = 0; row < rows[1]; row++) {
    const start = ((rows[0] + row) * width + columns[0]) * elementBytes;
    const bytes = await tensor.read(start, start + columns[1] * elementBytes);
    block.set(toFloat64(bytes, tensor.type), row * columns[1]);
  }
  return block;
}

/** `row += Σₖ factors[offset + k] · matrix[k, :]`, four k at a time: the row is read and written a quarter as often. */
export function addProducts(
  row: Float64Array,
  factors: Float64Array,
  offset: number,
  matrix: Float64Array,
  rank: number,
): void {
  const width = row.length;
  const whole = rank - (rank % 4);
  for (let k = 0; k < whole; k += 4) {
    const [f0, f1, f2, f3] = factors.subarray(offset + k, offset + k + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const m0 = matrix.subarray(k * width, (k + 1) * width);
    const m1 = matrix.subarray((k + 1) * width, (k + 2) * width);
    const m2 = matrix.subarray((k + 2) * width, (k + 3) * width);
    const m3 = matrix.subarray((k + 3) * width, (k + 4) * width);
    for (let column = 0; column < width; column++) {
      row[column]! += f0 * m0[column]! + f1 * m1[column]! + f2 * m2[column]! + f3 * m3[column]!;
    }
  }
  for (let k = whole; k < rank; k++) {
    const factor = factors[offset + k]!;
    for (let column = 0; column < width; column++) row[column]! += factor * matrix[k * width + column]!;
  }
}

/** `[rows, columns]` to `[columns, rows]`. */
export function transpose(values: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[column * rows + row] = values[row * columns + column]!;
  }
  return result;
}
