/** Where the float64 reference gets a module's W, A, B, m (or g) and bias from. */

import { VerifyError } from './error.js';
import { isComposition, type ModuleDescription } from './module-description.js';
import type { OpenedModel } from './opened-model.js';
import { type DoraParameters, doraGain, matrix } from './reference.js';
import { type TensorData, toFloat64 } from './tensor.js';

/** The value of the original graph with this name in one run. */
export type ValueOf = (name: string) => TensorData | undefined;

export interface Parameters {
  /** g [out]. */
  readonly gain: Float64Array;
  /** [out] */
  readonly bias: Float64Array | undefined;
  /** W, A and B as matrices; undefined where a composition needs none, because its export holds g alone. */
  readonly layer: DoraParameters | undefined;
}

/** The parameters of one module; nothing is read until asked for, and nothing kept. */
export interface ParameterSource {
  /** Names of those that the original graph computes or is given: they may differ from run to run. */
  readonly computed: readonly string[];
  read(value: ValueOf): Promise<Parameters>;
}

/**
 * Parameters are read from the original file, wherever they are stored there. Where an export holds g alone, it may be
 * spread over constants of any shape: it is taken from the rewritten file, and whether it is the original's shows when the
 * reference is compared with the original in float32.
 *
 * @returns the source, or why there is none
 */
export function parameterSource(
  module: ModuleDescription,
  original: OpenedModel,
  rewritten: OpenedModel,
): ParameterSource | string {
  const { weight, loraA, loraB, magnitude, bias, gain } = module.values;
  if (weight === null) return 'its W is not in the file as one value';
  if (magnitude === null && !rewritten.isInitializer(gain))
    return `its gain ${gain} is not stored in the rewritten file`;
  // The shapes of a grouped convolution's W, A and B are no matrices; what an export that holds g alone needs is g.
  const onlyGain = isComposition(module) && magnitude === null;
  const names = (onlyGain ? [bias] : [weight, loraA, loraB, magnitude, bias]).filter((name) => name !== null);
  return {
    computed: names.filter((name) => !original.isInitializer(name)),
    async read(value) {
      const values = async (name: string) => {
        if (original.isInitializer(name)) return original.readInitializer(name);
        const tensor = value(name);
        if (tensor) return toFloat64(tensor);
        throw new VerifyError('BAD_MODULE', `module ${module.path}: ${name} is neither in the file nor computed`);
      };
      const ownBias = bias === null ? undefined : await values(bias);
      if (onlyGain) return { gain: await rewritten.readInitializer(gain), bias: ownBias, layer: undefined };
      const layer = arrange(module, {
        weight: await values(weight),
        loraA: await values(loraA),
        loraB: await values(loraB),
        norm: magnitude === null ? await rewritten.readInitializer(gain) : await values(magnitude),
        bias: ownBias,
      });
      return { gain: magnitude === null ? layer.magnitude : doraGain(layer), bias: ownBias, layer };
    },
  };
}

interface StoredParameters {
  readonly weight: Float64Array;
  readonly loraA: Float64Array;
  readonly loraB: Float64Array;
  /** m or g: `out` values, whatever their dims. */
  readonly norm: Float64Array;
  readonly bias: Float64Array | undefined;
}

function arrange(module: ModuleDescription, stored: StoredParameters): DoraParameters {
  const { scaling, layouts } = module;
  const { weight, loraA, loraB, norm, bias } = stored;
  const outputs = norm.length;
  const inputs = weight.length / outputs;
  const rank = module.rank ?? loraA.length / inputs;
  const fits =
    loraA.length === rank * inputs && loraB.length === rank * outputs && (bias?.length ?? outputs) === outputs;
  if (!Number.isInteger(inputs) || !fits) {
    throw new VerifyError(
      'BAD_MODULE',
      `module ${module.path}: W of ${weight.length}, A of ${loraA.length}, B of ${loraB.length}, m of ${outputs} and a bias of ${bias?.length ?? 0} values are no layer of rank ${rank}`,
    );
  }
  return {
    weight: matrix(weight, outputs, inputs, layouts.transW === 1),
    loraA: matrix(loraA, rank, inputs, layouts.transA === 1),
    loraB: matrix(loraB, outputs, rank, layouts.transB === 1),
    magnitude: norm,
    ...(bias && { bias }),
    scaling,
  };
}
