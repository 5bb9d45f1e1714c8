import { floatType, toFloat64 } from '../tensors/elements.js';
import type { StoredTensor } from '../tensors/stored-tensor.js';

/** Whether two stored vectors hold the same numbers, whatever axes of size one they have. */
export async function sameVector(left: StoredTensor, right: StoredTensor): Promise<boolean> {
  const a = await vectorValues(left);
  const b = await vectorValues(right);
  return (
    a !== undefined && b !== undefined && a.length === b.length && a.every((value, index) => Object.is(value, b[index]))
  );
}

/** Whether a stored vector is all zeros, of either sign. */
export async function isZeroVector(vector: StoredTensor): Promise<boolean> {
  return (await vectorValues(vector))?.every((value) => value === 0) ?? false;
}

/**
 * Whether a stored vector is g − 1 as the exporter computed it: each element the difference rounded to the vector's own
 * type once.
 */
export async function isExcessOf(excess: StoredTensor, gain: StoredTensor): Promise<boolean> {
  const type = floatType(excess.dataType);
  const g = await vectorValues(gain);
  if (type === undefined || g === undefined) return false;
  const stored = toFloat64(await excess.read(), type);
  if (stored.length !== g.length) return false;
  return stored.every((value, index) => {
    const difference = g[index]! - 1;
    if (type === 'float32') return Object.is(value, Math.fround(difference)) || value === Math.fround(difference);
    // A 16-bit rounding is within half a unit of the last place.
    const halfUnit =
      Math.abs(difference) * (type === 'float16' ? 2 ** -11 : 2 ** -8) + (type === 'float16' ? 2 ** -25 : 0);
    return Math.abs(value - difference) <= halfUnit;
  });
}

async function vectorValues(vector: StoredTensor): Promise<Float64Array | undefined> {
  const type = floatType(vector.dataType);
  return type === undefined ? undefined : toFloat64(await vector.read(), type);
}
