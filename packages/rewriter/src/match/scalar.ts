import { DataType, intAttribute } from '@ort-dora/onnx';
import { roundToBfloat16 } from '../tensors/round-bfloat16.js';
import { roundToFloat16 } from '../tensors/round-float16.js';
import type { MatchScope } from './scope.js';
import { isStandard, plain } from './trace.js';

/** Casts and expansions of one constant that are followed. */
const MOST_CASTS = 4;

/**
 * The number that a constant of one element holds, or undefined where the value is no such constant. A constant that
 * would add axes by broadcasting is none.
 */
export function constantScalar(scope: MatchScope, value: string, casts = MOST_CASTS): number | undefined {
  const source = plain(scope, value);
  const tensor = scope.constant(source);
  if (tensor !== undefined) {
    return tensor.dims.length <= 1 && tensor.dims.every((dim) => dim === 1n)
      ? scope.smallConstant(source)?.[0]
      : undefined;
  }
  const node = scope.producer(source);
  if (node === undefined || casts === 0) return undefined;
  if (isStandard(node, 'Expand') && isSingle(scope.integers(node.input[1] ?? ''))) {
    return constantScalar(scope, node.input[0] ?? '', casts - 1);
  }
  if (!isStandard(node, 'Cast')) return undefined;
  const number = constantScalar(scope, node.input[0] ?? '', casts - 1);
  return number === undefined ? undefined : castNumber(number, intAttribute(node, 'to'));
}

/** Whether a shape is that of one element, without more axes than a vector's. */
function isSingle(shape: readonly number[] | undefined): boolean {
  return shape !== undefined && shape.length <= 1 && shape.every((size) => size === 1);
}

/** The number after a cast; undefined where the cast is to a type that scalings and counters do not have. */
function castNumber(number: number, type: number | undefined): number | undefined {
  switch (type) {
    case DataType.DOUBLE:
      return number;
    case DataType.FLOAT:
      return Math.fround(number);
    case DataType.FLOAT16:
      return roundToFloat16(number);
    case DataType.BFLOAT16:
      return roundToBfloat16(number);
    case DataType.INT64:
    case DataType.INT32:
      return Number.isInteger(number) ? number : undefined;
    default:
      return undefined;
  }
}
