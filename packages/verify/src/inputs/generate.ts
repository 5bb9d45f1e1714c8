/** Makes inputs that a model accepts and that reach its whole arithmetic, from their names, types and sizes alone. */

import { VerifyError } from '../error.js';
import { elementCount, fromFloat64, isFloatType, type TensorData } from '../tensor.js';
import type { InputKnowledge, TensorInfo } from './interface.js';
import { positionOf } from './padding.js';
import { type Random, randomStream } from './random.js';
import { imageGrid, resolveDims, roleOf, type Sizes, type TokenCounts, tokenCounts } from './sizes.js';

/** Elements of one generated tensor at most: an input that declares more is not made, it is refused. */
const maxElements = 2 ** 28;

/**
 * Inputs for a model: token ids within the vocabulary, masks, positions that continue the past, normal floats. The same
 * arguments give the same values.
 *
 * @param padding tokens of each row that are padding, on the left: masked, and not counted by positions
 * @throws VerifyError BAD_INPUTS if an input declares impossible or huge dims
 */
export function generateInputs(
  inputs: readonly TensorInfo[],
  knowledge: InputKnowledge,
  sizes: Sizes,
  seed: number,
  padding: readonly number[] = [],
): Map<string, TensorData> {
  const dims = resolveDims(inputs, sizes, knowledge.config);
  const tokens = { ...tokenCounts(inputs, sizes, knowledge.config), padding };
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
      const values = valuesOf({ input, shape, count, random, tokens, knowledge });
      return [input.name, fromFloat64(input.type, shape, values)];
    }),
  );
}

interface Request {
  readonly input: TensorInfo;
  readonly shape: readonly number[];
  readonly count: number;
  readonly random: Random;
  readonly tokens: Tokens;
  readonly knowledge: InputKnowledge;
}

interface Tokens extends TokenCounts {
  readonly padding: readonly number[];
}

function valuesOf(request: Request): Float64Array {
  const { input, shape, count, random, knowledge } = request;
  const { past, total, padding } = request.tokens;
  const { name, type } = input;
  const fill = (value: (index: number) => number) => Float64Array.from({ length: count }, (_, index) => value(index));
  const rows = knowledge.tableRows.get(name);
  const last = shape.at(-1) ?? 1;

  switch (roleOf(input)) {
    case 'positions':
      // [batch, sequence], or [3, batch, sequence].
      return fill((index) => {
        const row = Math.floor(index / last) % (shape.at(-2) ?? 1);
        const position = positionOf(past + (index % last), padding[row] ?? 0);
        return Math.min(position, (rows ?? Number.POSITIVE_INFINITY) - 1);
      });
    case 'cachePositions':
      return fill((index) => Math.min(past + (index % last), (rows ?? Number.POSITIVE_INFINITY) - 1));
    case 'attentionMask':
      return shape.length === 4
        ? scoreMask(request)
        : fill((index) => (index % last < (padding[Math.floor(index / last)] ?? 0) ? 0 : 1));
    case 'lastTokens':
      return fill(() => total - 1);
    case 'totalTokens':
      return fill(() => total);
    case 'pastTokens':
      return fill(() => past);
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

/** What float masks put on scores that do not count: finite in float16 too. */
const MASKED_SCORE = -10_000;

/**
 * [batch, 1, sequence, total]: which tokens a new one may look at, itself and those before it that are no padding. Of a float
 * mask, what is added to the scores.
 */
function scoreMask({ input, shape, count, tokens: { past, padding } }: Request): Float64Array {
  const [, , sequence = 1, total = 1] = shape;
  const [counts, masked] = isFloatType(input.type) ? [0, MASKED_SCORE] : [1, 0];
  return Float64Array.from({ length: count }, (_, index) => {
    const column = index % total;
    const token = Math.floor(index / total) % sequence;
    const row = Math.floor(index / (total * sequence * (shape[1] ?? 1)));
    return column >= (padding[row] ?? 0) && column <= past + token ? counts : masked;
  });
}
