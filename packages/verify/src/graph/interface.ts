/** What a model takes and gives, read from its graph. */

import { elementTypeOf, isElementType as isKnown, type ModelProto, type ValueInfoProto } from '@ort-dora/onnx';
import { VerifyError } from '../error.js';
import type { TensorInfo } from '../inputs/interface.js';
import { isElementType } from '../tensor.js';

export interface ModelInterface {
  /** Without those that have a default in the file (an initializer of the same name). */
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** Outputs that are not compared, and why. */
  readonly notes: readonly string[];
}

/** @throws VerifyError BAD_INPUTS if an input is no numeric tensor */
export function describeInterface(model: ModelProto, where: string): ModelInterface {
  const graph = model.graph!;
  const defaults = new Set(graph.initializer.map(({ name }) => name));
  const inputs = graph.input
    .filter(({ name }) => !defaults.has(name))
    .map((info) => {
      const described = describe(info);
      if (described) return described;
      throw new VerifyError(
        'BAD_INPUTS',
        `${where}: input ${JSON.stringify(info.name)} is no tensor of numbers, and others cannot be given`,
      );
    });
  const described = graph.output.map((info) => ({ info, tensor: describe(info) }));
  return {
    inputs,
    outputs: described.flatMap(({ tensor }) => (tensor ? [tensor] : [])),
    notes: described.flatMap(({ info, tensor }) =>
      tensor ? [] : [`output ${info.name} is no tensor of numbers and was not compared`],
    ),
  };
}

function describe({ name = '', type }: ValueInfoProto): TensorInfo | undefined {
  const dataType = type?.tensorType?.elemType;
  const elementType = isKnown(dataType) ? elementTypeOf(dataType).name : '';
  if (!isElementType(elementType)) return undefined;
  const dims = (type?.tensorType?.shape?.dim ?? []).map(({ dimValue, dimParam }) =>
    dimValue !== undefined && dimValue >= 0n ? Number(dimValue) : dimParam || undefined,
  );
  return { name, type: elementType, dims };
}
