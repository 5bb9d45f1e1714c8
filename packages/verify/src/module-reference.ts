/** What a module should give in one run: DoRA in float64 on the values that it is given. */

import { type Difference, difference } from './difference.js';
import { VerifyError } from './error.js';
import { type Composition, isChained, isComposition, type ModuleDescription } from './module-description.js';
import type { Parameters, ValueOf } from './parameters.js';
import { doraForward, matrix } from './reference.js';
import { elementCount, type TensorData, toFloat64 } from './tensor.js';

/** Multiplications of the float64 reference for one module and run: more rows of x than these allow are sampled. */
const multiplications = 1e8;
const fewestRows = 4;
/** Elements of a composition's float64 reference: more rows than these allow are sampled. */
const elements = 1e7;

export interface Reference {
  /** Indices of the rows that were computed. */
  readonly rows: readonly number[];
  readonly width: number;
  readonly values: Float64Array;
}

export function referenceOf(module: ModuleDescription, parameters: Parameters, value: ValueOf): Reference {
  if (isComposition(module)) return composed(module, parameters, value);
  const { layer, gain } = parameters;
  if (layer === undefined) throw new Error(`module ${module.path} has no parameters`);
  const { rows: outputs, columns: inputs } = layer.weight;
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
  const base = isChained(module.form)
    ? { values: rowsOf(value(module.values.base)!, outputs), isAdapted: module.form.base === 'adapted' }
    : undefined;
  const y = doraForward(layer, gain, rowsOf(x, inputs), base);
  return { rows, width: outputs, values: y.data };
}

/** g·(base − bias + s·lora) + bias, or base + (g − 1)·product + g·s·lora where that was recomputed; the channels on the last axis or, of a convolution, on axis 1; a row there is a channel. */
function composed(module: Composition, { gain, bias }: Parameters, value: ValueOf): Reference {
  const base = value(module.values.base)!;
  const lora = value(module.values.lora)!;
  const channelsFirst = module.kind === 'conv';
  const channels = base.dims.at(channelsFirst ? 1 : -1) ?? 0;
  if (base.dims.join() !== lora.dims.join() || channels !== gain.length) {
    throw new VerifyError(
      'BAD_MODULE',
      `module ${module.path}: its base [${base.dims}], adapter [${lora.dims}] and gain [${gain.length}] do not fit`,
    );
  }
  const width = channelsFirst ? elementCount(base.dims.slice(2)) : channels;
  const rows = spread(elementCount(base.dims) / Math.max(1, width), Math.max(fewestRows, Math.floor(elements / width)));
  const picked = (tensor: TensorData) => pick(toFloat64(tensor), { rows, width });
  const [y, adapted] = [picked(base), picked(lora)];
  const product = module.values.product === undefined ? undefined : picked(value(module.values.product)!);
  const scaling = module.scaling * (module.adapterFactor ?? 1);
  for (let index = 0; index < y.length; index++) {
    const channel = channelsFirst ? rows[Math.floor(index / width)]! % channels : index % width;
    const b = bias?.[channel] ?? 0;
    const [g, change] = [gain[channel]!, scaling * adapted[index]!];
    if (product) y[index]! += (g - 1) * product[index]! + g * change;
    else y[index] = g * (y[index]! - b + change) + b;
  }
  return { rows, width, values: y };
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
