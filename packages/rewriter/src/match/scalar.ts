import { DataType, intAttribute } from '@ort-dora/onnx';
import type { MatchScope } from './scope.js';
import { isStandard, plain } from './trace.js';

/** Casts of one constant that are followed. */
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
  if (node === undefined || casts === 0 || !isStandard(node, 'Cast')) return undefined;
  const number = constantScalar(scope, node.input[0] ?? '', casts - 1);
  return number === undefined ? undefined : castNumber(number, intAttribute(node, 'to'));
}

/** The number after a cast; undefined where the cast would have to round in a way that is not reproduced here. */
function castNumber(number: number, type: number | undefined): number | undefined {
  if (type === DataType.DOUBLE) return number;
  if (type === DataType.INT64 || type === DataType.INT32) return Number.isInteger(number) ? number : undefined;
  if (type === DataType.FLOAT) return Math.fround(number);
  const exactInHalf = Number.isInteger(number) && Math.abs(number) <= 256;
  return (type === DataType.FLOAT16 || type === DataType.BFLOAT16) && exactInHalf ? number : undefined;
}
