/** What a model takes and gives, read from its graph. */

import { DataType, type ModelProto, type ValueInfoProto } from '@ort-dora/onnx';
import { VerifyError } from '../error.js';
import type { TensorInfo } from '../inputs/interface.js';
import type { ElementType } from '../tensor.js';

export interface ModelInterface {
  /** Without those that have a default in the file (an initializer of the same name). */
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
  /** Outputs that are not compared, and why. */
  readonly notes: readonly string[];
}

const elementTypes: Readonly<Record<number, ElementType>> = {
  [DataType.FLOAT]: 'float32',
  [DataType.DOUBLE]: 'float64',
  [DataType.FLOAT16]: 'float16',
  [DataType.BFLOAT16]: 'bfloat16',
  [DataType.INT64]: 'int64',
  [DataType.UINT64]: 'uint64',
  [DataType.INT32]: 'int32',
  [DataType.UINT32]: 'uint32',
  [DataType.INT16]: 'int16',
  [DataType.UINT16]: 'uint16',
  [DataType.INT8]: 'int8',
  [DataType.UINT8]: 'uint8',
  [DataType.BOOL]: 'bool',
};

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
  const elementType = elementTypes[type?.tensorType?.elemType ?? 0];
  if (elementType === undefined) return undefined;
  const dims = (type?.tensorType?.shape?.dim ?? []).map(({ dimValue, dimParam }) =>
    dimValue !== undefined ? Number(dimValue) : dimParam || undefined,
  );
  return { name, type: elementType, dims };
}
