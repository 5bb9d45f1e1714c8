import type { FloatType } from '../functions/form.js';
import { baseWeight, chainOf, type FusedModule, type FusedWeight } from '../fused/fused-module.js';
import { DATA_TYPE, toFloat64 } from '../tensors/elements.js';
import { addProducts, readMatrix, transpose } from '../tensors/products.js';
import { encodeRounded } from '../tensors/round.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';

/** How far the merged weight is from W' in float64, for the one rounding to its type. */
export interface RoundingError {
  /** Largest |error| over the largest |W'|. */
  readonly max: number;
  /** Root mean square of the errors over that of W'. */
  readonly rms: number;
}

/**
 * W' = g·(W + s·B·A), and for chained adapters the same again over that, in the layout in which W is stored. Rows are
 * computed in float64 as they are read, and rounded to the weight's type once. Held: A, B and g of each adapter, and a row.
 */
export class MergedWeight {
  readonly #weight: FusedWeight;
  readonly #steps: readonly Step[];
  readonly #rows: number;
  readonly #columns: number;
  #squares = 0;
  #squaredErrors = 0;
  #largest = 0;
  #largestError = 0;

  private constructor(weight: FusedWeight, steps: readonly Step[], rows: number, columns: number) {
    this.#weight = weight;
    this.#steps = steps;
    this.#rows = rows;
    this.#columns = columns;
  }

  /** @param module the outermost of its chain; @param gains g of each adapter of the chain, the innermost first */
  static async open(module: FusedModule, gains: readonly Float32Array[]): Promise<MergedWeight> {
    const weight = baseWeight(module);
    const { outFeatures, inFeatures } = module;
    const [rows, columns] = weight.transposed === 0 ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
    const steps: Step[] = [];
    for (const [index, { loraA, loraB, scaling, rank }] of chainOf(module).entries()) {
      const a = await readMatrix(loraA.tensor, loraA.transposed, rank, inFeatures);
      const b = await readMatrix(loraB.tensor, loraB.transposed, outFeatures, rank);
      for (let at = 0; at < b.length; at++) b[at]! *= scaling;
      // A stored row i gets Σₖ left[i, k]·right[k, :], whichever way round W is stored.
      const [left, right] =
        weight.transposed === 0 ? [b, a] : [transpose(a, rank, inFeatures), transpose(b, outFeatures, rank)];
      steps.push({ left, right, rank, gain: gains[index]! });
    }
    return new MergedWeight(weight, steps, rows, columns);
  }

  /** The merged weight as a tensor whose elements are computed when they are read. */
  get tensor(): FloatTensor {
    const { tensor, type } = this.#weight;
    const byteLength = this.#rows * this.#columns * BYTES[type];
    return {
      name: tensor.name,
      type,
      dataType: DATA_TYPE[type],
      dims: tensor.dims,
      byteLength,
      read: (start = 0, end = byteLength) => this.#read(start, end),
    };
  }

  /** Of what has been read so far. */
  get rounding(): RoundingError {
    return {
      max: this.#largest === 0 ? 0 : this.#largestError / this.#largest,
      rms: this.#squares === 0 ? 0 : Math.sqrt(this.#squaredErrors / this.#squares),
    };
  }

  async #read(start: number, end: number): Promise<Uint8Array> {
    const { tensor, type } = this.#weight;
    const width = BYTES[type];
    const columns = this.#columns;
    const sourceRow = tensor.byteLength / this.#rows;
    const firstElement = start / width;
    const lastElement = end / width;
    const merged = new Float64Array(lastElement - firstElement);
    const row = new Float64Array(columns);
    const rowsAtOnce = Math.max(1, Math.floor(CHUNK_BYTES / Math.max(1, sourceRow)));
    const firstRow = Math.floor(firstElement / columns);
    const endRow = Math.ceil(lastElement / columns);
    for (let block = firstRow; block < endRow; block += rowsAtOnce) {
      const blockEnd = Math.min(block + rowsAtOnce, endRow);
      const values = toFloat64(await tensor.read(block * sourceRow, blockEnd * sourceRow), tensor.type);
      for (let index = block; index < blockEnd; index++) {
        row.set(values.subarray((index - block) * columns, (index - block + 1) * columns));
        this.#adapt(row, index);
        // The first and the last row may be wanted in part.
        const from = Math.max(firstElement, index * columns);
        const to = Math.min(lastElement, (index + 1) * columns);
        merged.set(row.subarray(from - index * columns, to - index * columns), from - firstElement);
      }
    }
    return this.#round(merged, type);
  }

  #adapt(row: Float64Array, index: number): void {
    for (const { left, right, rank, gain } of this.#steps) {
      addProducts(row, left, index * rank, right, rank);
      if (this.#weight.transposed === 0) {
        const factor = gain[index]!;
        for (let column = 0; column < row.length; column++) row[column]! *= factor;
      } else {
        for (let column = 0; column < row.length; column++) row[column]! *= gain[column]!;
      }
    }
  }

  #round(exact: Float64Array, type: FloatType): Uint8Array {
    const bytes = encodeRounded(exact, type);
    const rounded = toFloat64(bytes, type);
    for (let index = 0; index < exact.length; index++) {
      const value = exact[index]!;
      const error = Math.abs(rounded[index]! - value);
      if (!Number.isFinite(error)) continue;
      this.#squares += value * value;
      this.#squaredErrors += error * error;
      this.#largest = Math.max(this.#largest, Math.abs(value));
      this.#largestError = Math.max(this.#largestError, error);
    }
    return bytes;
  }
}

/** One adapter, as the stored layout needs it. */
interface Step {
  readonly left: Float64Array;
  readonly right: Float64Array;
  readonly rank: number;
  readonly gain: Float32Array;
}

const CHUNK_BYTES = 4 * 2 ** 20;

const BYTES: Readonly<Record<FloatType, number>> = { float32: 4, float16: 2, bfloat16: 2 };
