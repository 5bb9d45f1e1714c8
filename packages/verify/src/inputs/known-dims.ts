/** Sizes of symbolic dimensions that are known before any is chosen: those that somebody gave, and those of the KV cache. */

import { VerifyError } from '../error.js';
import type { CacheSize } from './cache-sizes.js';
import type { TensorInfo } from './interface.js';
import { roleOf } from './sizes.js';

/**
 * The inputs with these sizes in the place of their symbols.
 *
 * @param given sizes by symbol
 * @param caches sizes of KV caches by input
 * @throws VerifyError BAD_INPUTS: a given symbol that no input has
 */
export function withKnownDims(
  inputs: readonly TensorInfo[],
  given: ReadonlyMap<string, number>,
  caches: ReadonlyMap<string, CacheSize>,
): TensorInfo[] {
  const symbols = new Set(inputs.flatMap(({ dims }) => dims.filter((dim) => typeof dim === 'string')));
  const unknown = [...given.keys()].filter((name) => !symbols.has(name));
  if (unknown.length > 0) {
    throw new VerifyError(
      'BAD_INPUTS',
      `no input has a dimension ${JSON.stringify(unknown[0])}; the symbolic ones are ${[...symbols].join(', ') || 'none'}`,
    );
  }
  const sizes = new Map(given);
  for (const input of inputs) {
    for (const [axis, dim] of input.dims.entries()) {
      const size = cacheSize(input, axis, caches);
      if (typeof dim === 'string' && size !== undefined && !sizes.has(dim)) sizes.set(dim, size);
    }
  }
  return inputs.map((input) => ({
    ...input,
    dims: input.dims.map((dim, axis) =>
      typeof dim === 'string' ? (sizes.get(dim) ?? dim) : (dim ?? cacheSize(input, axis, caches)),
    ),
  }));
}

/** [batch, heads, past, head size], with key and value in front where they are one tensor. */
function cacheSize(input: TensorInfo, axis: number, caches: ReadonlyMap<string, CacheSize>): number | undefined {
  if (roleOf(input) !== 'past' || input.dims.length < 4) return undefined;
  const { heads, headSize } = caches.get(input.name) ?? {};
  switch (input.dims.length - axis) {
    case 3:
      return heads;
    case 1:
      return headSize;
    default:
      return undefined;
  }
}
