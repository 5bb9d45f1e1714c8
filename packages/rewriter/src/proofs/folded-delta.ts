import type { FloatType } from '../functions/form.js';
import { floatType, toFloat64 } from '../tensors/elements.js';
import { matrixShape, type StoredMatrix } from '../tensors/stored-tensor.js';

/** Roundoff of the type that a product was computed in, at most: exporters fold in the graph's own type. */
const UNIT_ROUNDOFF = { float32: 2 ** -24, float16: 2 ** -11, bfloat16: 2 ** -8 } as const;

/** Half the distance of float32 numbers below 2⁻¹²⁶. */
const SMALLEST_ROUNDING = 2 ** -150;

/**
 * Whether a stored D `[out, in]` is B·A up to the rounding of a product with r terms: every element within
 * `(r + 1)·u·(|B|·|A|)`, u being the roundoff of D's type, the standard bound for a dot product in any order.
 */
export async function isProductOf(
  delta: StoredMatrix,
  loraB: StoredMatrix,
  loraA: StoredMatrix,
  signal?: AbortSignal,
): Promise<boolean> {
  const [outFeatures, inFeatures] = matrixShape(delta);
  const [rank] = matrixShape(loraA);
  const [ofD, ofB, ofA] = [delta, loraB, loraA].map(({ tensor }) => floatType(tensor.dataType));
  if (ofD === undefined || ofB === undefined || ofA === undefined) return false;
  const a = await rowMajor(loraA, ofA);
  const b = await rowMajor(loraB, ofB);
  const d = await rowMajor(delta, ofD);
  const tolerance = (rank + 1) * UNIT_ROUNDOFF[ofD];
  const product = new Float64Array(inFeatures);
  const magnitude = new Float64Array(inFeatures);
  for (let row = 0; row < outFeatures; row++) {
    if (row % 64 === 0) signal?.throwIfAborted();
    product.fill(0);
    magnitude.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k]!;
      for (let column = 0; column < inFeatures; column++) {
        const term = factor * a[k * inFeatures + column]!;
        product[column]! += term;
        magnitude[column]! += Math.abs(term);
      }
    }
    for (let column = 0; column < inFeatures; column++) {
      const error = Math.abs(d[row * inFeatures + column]! - product[column]!);
      // Below the smallest normal number rounding is absolute. A NaN is equal to nothing.
      if (!(error <= tolerance * magnitude[column]! + SMALLEST_ROUNDING)) return false;
    }
  }
  return true;
}

async function rowMajor(matrix: StoredMatrix, type: FloatType): Promise<Float64Array> {
  const values = toFloat64(await matrix.tensor.read(), type);
  if (!matrix.transposed) return values;
  const [rows, columns] = matrixShape(matrix);
  const result = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) result[row * columns + column] = values[column * rows + row]!;
  }
  return result;
}
