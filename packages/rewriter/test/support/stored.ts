import type { FloatType } from '../../src/index.js';
import { DATA_TYPE } from '../../src/tensors/elements.js';
import type { FloatTensor } from '../../src/tensors/stored-tensor.js';
import { toBytes } from './numbers.js';

/** Values rounded to a type, as if stored in a file; counts the bytes that are read. */
export function storedFloats(
  values: ArrayLike<number>,
  dims: readonly number[],
  type: FloatType = 'float32',
): FloatTensor & { readonly reads: number[] } {
  const bytes = toBytes(values, type);
  const reads: number[] = [];
  return {
    name: 'stored',
    dataType: DATA_TYPE[type],
    type,
    dims,
    byteLength: bytes.length,
    reads,
    read: async (start = 0, end = bytes.length) => {
      reads.push(end - start);
      return bytes.subarray(start, end);
    },
  };
}
