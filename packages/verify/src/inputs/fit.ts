/** Checks given arrays against a model's inputs, and converts those that differ in type only. */

import { VerifyError } from '../error.js';
import { fromFloat64, isFloatType, type TensorData, toFloat64 } from '../tensor.js';
import type { TensorInfo } from './interface.js';

/**
 * The arrays that the model takes, by name, in the model's types: floats may be given in any float type, integers and bools
 * in any integer type that holds the values.
 *
 * @throws VerifyError BAD_INPUTS: a missing or superfluous array, wrong dims, a value that does not fit
 */
export function fitInputs(
  inputs: readonly TensorInfo[],
  arrays: ReadonlyMap<string, TensorData>,
  where: string,
): Map<string, TensorData> {
  const fitted = new Map<string, TensorData>();
  for (const input of inputs) {
    const array = arrays.get(input.name);
    if (array === undefined)
      throw bad(`${where} has no array ${JSON.stringify(input.name)}; it has ${list(arrays.keys())}`);
    fitted.set(input.name, fit(input, array, where));
  }
  const superfluous = [...arrays.keys()].filter((name) => !fitted.has(name));
  if (superfluous.length > 0) {
    throw bad(`${where} has ${list(superfluous)}, which the model does not take; it takes ${list(fitted.keys())}`);
  }
  return fitted;
}

function fit({ name, type, dims }: TensorInfo, array: TensorData, where: string): TensorData {
  const label = `${where}: array ${JSON.stringify(name)}`;
  const matches =
    dims.length === array.dims.length && dims.every((dim, i) => typeof dim !== 'number' || dim === array.dims[i]);
  if (!matches)
    throw bad(
      `${label} has dims [${array.dims.join(', ')}]; the model takes [${dims.map((dim) => dim ?? '?').join(', ')}]`,
    );
  if (array.type === type) return array;
  if (isFloatType(type) !== isFloatType(array.type)) throw bad(`${label} is ${array.type}; the model takes ${type}`);
  const values = toFloat64(array);
  const converted = fromFloat64(type, array.dims, values);
  if (!isFloatType(type)) {
    const back = toFloat64(converted);
    const at = back.findIndex((value, i) => value !== values[i]);
    if (at >= 0) throw bad(`${label} holds ${values[at]}, which is no ${type}`);
  }
  return converted;
}

const list = (names: Iterable<string>) => [...names].map((name) => JSON.stringify(name)).join(', ') || 'none';

const bad = (message: string) => new VerifyError('BAD_INPUTS', message);
