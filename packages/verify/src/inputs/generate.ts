/** Makes inputs that a model accepts and that reach its whole arithmetic, from their names, types and sizes alone. */

import { VerifyError } from '../error.js';
import { elementCount, fromFloat64, isFloatType, type TensorData } from '../tensor.js';
import type { InputKnowledge, TensorInfo } from './interface.js';
import { type Random, randomStream } from './random.js';
import { imageGrid, resolveDims, roleOf, type Sizes } from './sizes.js';

/** Elements of one generated tensor at most: an input that declares more is not made, it is refused. */
const maxElements = 2 ** 28;

/**
 * Inputs for a model: token ids within the vocabulary, masks of ones, positions that continue the past, normal floats.
 * The same seed, sizes and names give the same values.
 *
 * @throws VerifyError BAD_INPUTS if an input declares impossible or huge dims
 */
export function generateInputs(
  inputs: readonly TensorInfo[],
  knowledge: InputKnowledge,
  sizes: Sizes,
  seed: number,
): Map<string, TensorData> {
  const dims = resolveDims(inputs, sizes, knowledge.config);
  const past = pastLength(inputs, dims);
  return new Map(
    inputs.map((input) => {
      const shape = dims.get(input.name)!;
      const count = elementCount(shape);
      if (!shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0) || count > maxElements) {
        throw new VerifyError(
          'BAD_INPUTS',
          `input ${JSON.stringify(input.name)} has dims [${shape.join(', ')}], more than can be generated; give inputs in a .npz file`,
        );
      }
      const random = randomStream(seed, input.name);
      const values = valuesOf({ input, shape, count, random, past, knowledge });
      return [input.name, fromFloat64(input.type, shape, values)];
    }),
  );
}

interface Request {
  readonly input: TensorInfo;
  readonly shape: readonly number[];
  readonly count: number;
  readonly random: Random;
  /** Tokens in the KV cache. */
  readonly past: number;
  readonly knowledge: InputKnowledge;
}

function valuesOf({ input, shape, count, random, past, knowledge }: Request): Float64Array {
  const { name, type } = input;
  const fill = (value: (index: number) => number) => Float64Array.from({ length: count }, (_, index) => value(index));
  const rows = knowledge.tableRows.get(name);
  const last = shape.at(-1) ?? 1;

  switch (roleOf(input)) {
    case 'positions':
    case 'cachePositions':
      return fill((index) => Math.min(past + (index % last), (rows ?? Number.POSITIVE_INFINITY) - 1));
    case 'attentionMask':
      // An integer or bool mask says which tokens count; a float one is added to the scores.
      return fill(() => (isFloatType(type) && shape.length === 4 ? 0 : 1));
    case 'mask':
      return fill(() => 1);
    case 'imageGrid':
      return fill((index) => imageGrid[index % 3]!);
    case 'past':
      return fill(() => random.normal() / 2);
    case 'tokens':
      return fill(() => token(random, rows ?? knowledge.config.vocabularySize ?? 2, knowledge.config.imageToken));
  }
  if (isFloatType(type)) return fill(() => random.normal());
  if (name === 'use_cache_branch') return fill(() => (past > 0 ? 1 : 0));
  if (/num_logits_to_keep|logits_to_keep/.test(name)) return fill(() => 1);
  return fill(() => random.integer(0, type === 'bool' ? 2 : (rows ?? 2)));
}

function token(random: Random, vocabulary: number, avoided: number | undefined): number {
  const id = random.integer(0, vocabulary);
  return id === avoided ? (id + 1) % vocabulary : id;
}

function pastLength(inputs: readonly TensorInfo[], dims: ReadonlyMap<string, readonly number[]>): number {
  const cache = inputs.find((input) => roleOf(input) === 'past');
  return cache ? dims.get(cache.name)!.at(-2)! : 0;
}
