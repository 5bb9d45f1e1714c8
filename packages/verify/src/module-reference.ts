/** What a module should give in one run: DoRA in float64 on the values that it is given. */

import { type Difference, difference } from './difference.js';
import { VerifyError } from './error.js';
import type { ModuleDescription } from './module-description.js';
import type { Parameters, ValueOf } from './parameters.js';
import { doraForward, matrix } from './reference.js';
import { elementCount, type TensorData, toFloat64 } from './tensor.js';

/** Multiplications of the float64 reference for one module and run: more rows of x than these allow are sampled. */
const multiplications = 1e8;
const fewestRows = 4;

export interface Reference {
  /** Indices of the rows that were computed. */
  readonly rows: readonly number[];
  readonly width: number;
  readonly values: Float64Array;
}

export function referenceOf(module: ModuleDescription, parameters: Parameters, value: ValueOf): Reference {
  const { rows: outputs, columns: inputs } = parameters.weight;
  const x = value(module.values.x)!;
  const total = elementCount(x.dims) / inputs;
  if (!Number.isInteger(total)) {
    throw new VerifyError(
      'BAD_MODULE',
      `module ${module.path}: its input has dims [${x.dims}], but W takes ${inputs} values a row`,
    );
  }
  const rows = spread(total, Math.max(fewestRows, Math.floor(multiplications / (inputs * outputs))));
  const rowsOf = (tensor: TensorData, width: number) =>
    matrix(pick(toFloat64(tensor), { rows, width }), rows.length, width, false);
  const base = module.form.base === 'adapted' ? rowsOf(value(module.values.base)!, outputs) : undefined;
  const y = doraForward(parameters, parameters.gain, rowsOf(x, inputs), base);
  return { rows, width: outputs, values: y.data };
}

/** At most `count` of 0…total−1, evenly spread, the first and the last among them. */
function spread(total: number, count: number): number[] {
  if (total <= count) return Array.from({ length: total }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => Math.round((i * (total - 1)) / (count - 1)));
}

function pick(values: Float64Array, { rows, width }: Pick<Reference, 'rows' | 'width'>): Float64Array {
  const picked = new Float64Array(rows.length * width);
  for (const [to, from] of rows.entries()) picked.set(values.subarray(from * width, (from + 1) * width), to * width);
  return picked;
}

/** How far a module's output is from the reference, on the rows that it was computed for. */
export const distance = (output: TensorData, reference: Reference): Difference =>
  difference(pick(toFloat64(output), reference), reference.values);
