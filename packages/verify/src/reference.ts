/** DoRA in float64: what every module is measured against. */

/** A matrix in float64, row-major, in PyTorch's orientation (see DoraReference). */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/** One adapted linear layer. */
export interface DoraParameters {
  /** W [out, in]; needed for the norm, and for the base term unless a base output is given. */
  readonly weight: Matrix;
  /** A [r, in]. */
  readonly loraA: Matrix;
  /** B [out, r]. */
  readonly loraB: Matrix;
  /** m [out]. */
  readonly magnitude: Float64Array;
  /** [out] */
  readonly bias?: Float64Array;
  readonly scaling: number;
}

/** The row-major matrix of `data`, stored as [rows, columns] or, if transposed, as [columns, rows]. */
export function matrix(data: Float64Array, rows: number, columns: number, transposed: boolean): Matrix {
  if (data.length !== rows * columns) {
    throw new RangeError(`${data.length} values are no matrix of ${rows} rows and ${columns} columns`);
  }
  if (!transposed) return { rows, columns, data };
  const out = new Float64Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[row * columns + column] = data[column * rows + row]!;
  }
  return { rows, columns, data: out };
}

/**
 * g = m / ‖W + s·B·A‖ per output row, [out], by the dense formula, one row at a time (Liu et al. 2024, equation 5; no
 * epsilon, as in PEFT's DoraLinearLayer.get_weight_norm).
 */
export function doraGain({ weight, loraA, loraB, magnitude, scaling }: DoraParameters): Float64Array {
  const width = weight.columns;
  const rank = loraA.rows;
  const gain = new Float64Array(weight.rows);
  const row = new Float64Array(width);
  for (let o = 0; o < weight.rows; o++) {
    row.set(weight.data.subarray(o * width, (o + 1) * width));
    for (let k = 0; k < rank; k++) addScaled(row, scaling * loraB.data[o * rank + k]!, loraA.data, k * width);
    gain[o] = magnitude[o]! / Math.sqrt(dot(row, 0, row, 0, width));
  }
  return gain;
}

/**
 * y = g·(x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + bias, [rows, out] (PEFT's DoraLinearLayer.forward in eval mode).
 *
 * @param x [rows, in]
 * @param gain g [out], of doraGain
 * @param base of a further adapter, the result [rows, out] of the one before, with the layer's bias. Since PEFT 0.14 it takes
 *   the place of x·Wᵀ + bias (`isAdapted`); before, what the adapter changes of x·Wᵀ is added to it
 */
export function doraForward(
  parameters: DoraParameters,
  gain: Float64Array,
  x: Matrix,
  base?: { readonly values: Matrix; readonly isAdapted: boolean },
): Matrix {
  const { weight, loraA, loraB, bias, scaling } = parameters;
  const outputs = weight.rows;
  const rank = loraA.rows;
  const y = new Float64Array(x.rows * outputs);
  const hidden = new Float64Array(rank);
  for (let t = 0; t < x.rows; t++) {
    const from = t * x.columns;
    for (let k = 0; k < rank; k++) hidden[k] = dot(x.data, from, loraA.data, k * x.columns, x.columns);
    for (let o = 0; o < outputs; o++) {
      const b = bias?.[o] ?? 0;
      const before = base?.values.data[t * outputs + o];
      const plain =
        before !== undefined && base?.isAdapted
          ? before - b
          : dot(x.data, from, weight.data, o * weight.columns, weight.columns);
      const adapted = gain[o]! * (plain + scaling * dot(hidden, 0, loraB.data, o * rank, rank));
      y[t * outputs + o] = before === undefined || base?.isAdapted ? adapted + b : before + (adapted - plain);
    }
  }
  return { rows: x.rows, columns: outputs, data: y };
}

function dot(a: Float64Array, aFrom: number, b: Float64Array, bFrom: number, length: number): number {
  let sum = 0;
  for (let i = 0; i < length; i++) sum += a[aFrom + i]! * b[bFrom + i]!;
  return sum;
}

function addScaled(target: Float64Array, factor: number, source: Float64Array, from: number): void {
  for (let i = 0; i < target.length; i++) target[i]! += factor * source[from + i]!;
}
