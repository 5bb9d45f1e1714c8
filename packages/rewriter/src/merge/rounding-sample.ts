/** How far a merged weight is from W' in float64, told from a sample of it. */

import { ELEMENT_BYTES } from '@ort-dora/adapters';
import { toFloat64 } from '../tensors/elements.js';
import { readBlock } from '../tensors/products.js';
import { factorsOf, type MergeRequest, storedShape } from './merge-compute.js';

export interface RoundingError {
  /** Largest |error| over the largest |W'|. */
  readonly max: number;
  /** Root mean square of the errors over that of W'. */
  readonly rms: number;
}

const ROWS = 16;
const COLUMNS = 512;

/** Elements of a merged weight, taken from its bytes as they pass: some rows spread over it, of each the same columns. */
export class RoundingSample {
  readonly #request: MergeRequest;
  readonly #columns: { readonly first: number; readonly count: number };
  /** What W' has there, by stored row; undefined until it has passed. */
  readonly #rows: Map<number, Float64Array | undefined>;

  constructor(request: MergeRequest) {
    const [rows, columns] = storedShape(request);
    const count = Math.min(COLUMNS, columns);
    this.#request = request;
    this.#columns = { first: (columns - count) >> 1, count };
    const taken = Math.min(ROWS, rows);
    this.#rows = new Map(
      Array.from({ length: taken }, (_, index) => [Math.floor(((index + 0.5) * rows) / taken), undefined]),
    );
  }

  /** Takes what is wanted of whole rows, the first of which is `firstRow`. */
  see(firstRow: number, bytes: Uint8Array): void {
    const { type } = this.#request;
    const [, columns] = storedShape(this.#request);
    const width = ELEMENT_BYTES[type];
    const rows = bytes.length / (columns * width);
    for (const row of this.#rows.keys()) {
      if (row < firstRow || row >= firstRow + rows) continue;
      const start = ((row - firstRow) * columns + this.#columns.first) * width;
      this.#rows.set(row, toFloat64(bytes.slice(start, start + this.#columns.count * width), type));
    }
  }

  /** The errors of the sample, when all of it has passed. */
  async error(): Promise<RoundingError> {
    const exact = await this.#exact();
    let [squares, squaredErrors, largest, largestError] = [0, 0, 0, 0];
    for (const [row, values] of this.#rows) {
      for (const [index, value] of exact.get(row)!.entries()) {
        const error = Math.abs(values![index]! - value);
        if (!Number.isFinite(error)) continue;
        squares += value * value;
        squaredErrors += error * error;
        largest = Math.max(largest, Math.abs(value));
        largestError = Math.max(largestError, error);
      }
    }
    return {
      max: largest === 0 ? 0 : largestError / largest,
      rms: squares === 0 ? 0 : Math.sqrt(squaredErrors / squares),
    };
  }

  /** W' in float64, by row. */
  async #exact(): Promise<ReadonlyMap<number, Float64Array>> {
    const { weight, transW, adapters } = this.#request;
    const { first, count } = this.#columns;
    const values = new Map<number, Float64Array>();
    for (const row of this.#rows.keys()) {
      values.set(
        row,
        await readBlock({ tensor: weight, transposed: 0 }, storedShape(this.#request), [row, 1], [first, count]),
      );
    }
    const [rows, columns] = storedShape(this.#request);
    for (const adapter of adapters) {
      const { rank, scaling, gain } = adapter;
      const { left, right } = factorsOf(adapter, transW);
      const block = await readBlock(right, [rank, columns], [0, rank], [first, count]);
      for (const [row, sums] of values) {
        const weights = await readBlock(left, [rows, rank], [row, 1], [0, rank]);
        for (let column = 0; column < count; column++) {
          let sum = sums[column]!;
          for (let k = 0; k < rank; k++) sum += scaling * weights[k]! * block[k * count + column]!;
          sums[column] = sum * gain[transW === 0 ? row : first + column]!;
        }
      }
    }
    return values;
  }
}
