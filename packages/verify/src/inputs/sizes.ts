/**
 * Chooses concrete sizes for the symbolic dimensions of a model's inputs, the same for the same symbol everywhere, and
 * consistent where names say that they belong together: batch, sequence, past, and past + sequence for a mask.
 */

import type { Dim, ModelConfig, TensorInfo } from './interface.js';

/** One choice of sizes. */
export interface Sizes {
  readonly batch: number;
  /** New tokens. */
  readonly sequence: number;
  /** Tokens already in the KV cache. */
  readonly past: number;
  /** Of every other symbolic dimension. */
  readonly other: number;
}

/** What is asked of a model with dynamic axes: several tokens after a past, one token after a past, and no past. */
const withPast: readonly Sizes[] = [
  { batch: 2, sequence: 4, past: 3, other: 3 },
  { batch: 1, sequence: 1, past: 7, other: 2 },
  { batch: 1, sequence: 6, past: 0, other: 4 },
];

const withoutPast: readonly Sizes[] = [
  { batch: 2, sequence: 5, past: 0, other: 3 },
  { batch: 1, sequence: 1, past: 0, other: 2 },
  { batch: 3, sequence: 16, past: 0, other: 4 },
];

/** Sizes of a model without dynamic axes: these are what they are, so only the values change. */
const fixed: readonly Sizes[] = withoutPast.slice(0, 2);

/** The part that an input plays, judged by its name and rank. */
export type Role =
  | 'tokens'
  | 'embeddings'
  | 'positions'
  | 'cachePositions'
  | 'past'
  | 'attentionMask'
  | 'lastTokens'
  | 'totalTokens'
  | 'pastTokens'
  | 'mask'
  | 'imageGrid'
  | 'pixels'
  | 'other';

export function roleOf({ name, type, dims }: TensorInfo): Role {
  const integer = /int/.test(type);
  if (/(^|_)input_ids$/.test(name) && integer) return 'tokens';
  if (/inputs_embeds$/.test(name)) return 'embeddings';
  if (/position_ids$/.test(name) && integer) return 'positions';
  if (/cache_position$/.test(name) && integer) return 'cachePositions';
  if (/^past[._]|past_key|past_value/.test(name) && dims.length >= 3) return 'past';
  // The lengths that onnxruntime-genai gives beside or instead of a mask.
  if (/^seqlens_k$/.test(name) && integer) return 'lastTokens';
  if (/total_seq(uence)?_len(gth)?$/.test(name) && integer) return 'totalTokens';
  if (/past_seq(uence)?_len(gth)?$/.test(name) && integer) return 'pastTokens';
  if (/attention_mask$/.test(name) && !/pixel|image/.test(name)) return 'attentionMask';
  if (/mask$/.test(name)) return 'mask';
  if (/grid_thw$/.test(name)) return 'imageGrid';
  if (/^pixel_values/.test(name)) return 'pixels';
  return 'other';
}

/** The sizes to try on a model with these inputs, in order. */
export function sizesToTry(inputs: readonly TensorInfo[]): readonly Sizes[] {
  const dynamic = inputs.some(({ dims }) => dims.some((dim) => typeof dim !== 'number'));
  if (!dynamic) return fixed;
  return inputs.some((input) => roleOf(input) === 'past') ? withPast : withoutPast;
}

/** Grid of the images given to a model that takes flattened patches: time, height and width in patches. */
export const imageGrid = [1, 4, 4] as const;

/** Concrete dims of every input, by name. */
export function resolveDims(
  inputs: readonly TensorInfo[],
  wanted: Sizes,
  config: ModelConfig,
): ReadonlyMap<string, readonly number[]> {
  const { batch, sequence, past, other } = fixedSizes(inputs, wanted);
  const symbols = new Map<string, number>();
  const known: Readonly<Record<AxisKind, number>> = {
    batch,
    sequence,
    past,
    total: past + sequence,
    images: 1,
    patches: imageGrid[0] * imageGrid[1] * imageGrid[2],
  };

  const sizeByAxis = (input: TensorInfo, axis: number): number | undefined => {
    const kind = axisKind(roleOf(input), axis, input.dims.length);
    return kind === undefined ? undefined : known[kind];
  };
  const sizeByName = (symbol: string): number => {
    const name = symbol.toLowerCase();
    if (/\+/.test(name)) {
      return name
        .split('+')
        .reduce((sum, term) => sum + (/^\s*\d+\s*$/.test(term) ? Number(term) : sizeOf(term.trim())), 0);
    }
    if (/batch/.test(name)) return batch;
    if (/total/.test(name)) return past + sequence;
    if (/past/.test(name)) return past;
    if (/seq|length|token/.test(name)) return sequence;
    if (/height|width/.test(name)) return config.imageSize ?? 64;
    if (/patch/.test(name)) return known.patches;
    if (/image|frame|video/.test(name)) return known.images;
    return other;
  };
  const sizeOf = (symbol: string): number => {
    const size = symbols.get(symbol) ?? sizeByName(symbol);
    symbols.set(symbol, size);
    return size;
  };

  // Inputs whose axes are known by their part name the symbols first; the others follow.
  for (const input of inputs) {
    for (const [axis, dim] of input.dims.entries()) {
      const size = sizeByAxis(input, axis);
      if (typeof dim === 'string' && size !== undefined && !symbols.has(dim)) symbols.set(dim, size);
    }
  }
  return new Map(
    inputs.map((input) => [
      input.name,
      input.dims.map((dim, axis) => {
        if (typeof dim === 'number') return dim;
        if (typeof dim === 'string') return sizeOf(dim);
        return sizeByAxis(input, axis) ?? (axis === 0 ? batch : other);
      }),
    ]),
  );
}

/** Rows of tokens and their lengths, as the file fixes them or as they are wanted. */
export interface TokenCounts {
  readonly batch: number;
  /** Tokens in the KV cache. */
  readonly past: number;
  /** Those and the new ones. */
  readonly total: number;
}

export function tokenCounts(inputs: readonly TensorInfo[], wanted: Sizes, config: ModelConfig): TokenCounts {
  const dims = resolveDims(inputs, wanted, config);
  const sizes = fixedSizes(inputs, wanted);
  const cache = inputs.find((input) => roleOf(input) === 'past');
  const past = cache ? dims.get(cache.name)!.at(-2)! : 0;
  return { batch: sizes.batch, past, total: past + sizes.sequence };
}

/** What the names of symbols that a size is chosen by have in them. */
const telling = /\+|batch|total|past|seq|length|token|height|width|patch|image|frame|video/;

/** The symbols that neither their names nor the parts of their inputs say anything about. */
export function openSymbols(inputs: readonly TensorInfo[]): string[] {
  const known = new Set<Dim>();
  const all = new Set<string>();
  for (const input of inputs) {
    for (const [axis, dim] of input.dims.entries()) {
      if (typeof dim !== 'string') continue;
      all.add(dim);
      if (axisKind(roleOf(input), axis, input.dims.length) !== undefined) known.add(dim);
    }
  }
  return [...all].filter((symbol) => !known.has(symbol) && !telling.test(symbol.toLowerCase()));
}

/** The wanted sizes, but as the file has them where it fixes them. */
function fixedSizes(inputs: readonly TensorInfo[], wanted: Sizes): Sizes {
  const found: { [kind in AxisKind]?: number } = {};
  for (const input of inputs) {
    for (const [axis, dim] of input.dims.entries()) {
      const kind = axisKind(roleOf(input), axis, input.dims.length);
      if (kind !== undefined && typeof dim === 'number') found[kind] ??= dim;
    }
  }
  const hasPast = inputs.some((input) => roleOf(input) === 'past');
  const sequence = found.sequence ?? (hasPast || found.total === undefined ? wanted.sequence : found.total);
  const past = found.past ?? (found.total === undefined ? wanted.past : found.total - sequence);
  return { batch: found.batch ?? wanted.batch, sequence, past: Math.max(0, past), other: wanted.other };
}

type AxisKind = 'batch' | 'sequence' | 'past' | 'total' | 'images' | 'patches';

/** What an axis of an input of this part counts, if that is known. */
function axisKind(role: Role, axis: number, rank: number): AxisKind | undefined {
  const fromEnd = rank - axis;
  switch (role) {
    case 'tokens':
    case 'embeddings':
      return axis === 0 ? 'batch' : axis === 1 ? 'sequence' : undefined;
    case 'positions':
      // [batch, sequence], or [3, batch, sequence] where positions are in time, height and width.
      return fromEnd === 1 ? 'sequence' : fromEnd === 2 ? 'batch' : undefined;
    case 'cachePositions':
      return 'sequence';
    case 'past':
      // [batch, heads, past, head size], or the same of key and value in one: [2, batch, heads, past, head size].
      return axis === Math.max(0, rank - 4) ? 'batch' : fromEnd === 2 ? 'past' : undefined;
    case 'lastTokens':
      return axis === 0 ? 'batch' : undefined;
    case 'attentionMask':
      if (axis === 0) return 'batch';
      // [batch, total], or [batch, 1, sequence, total]
      return fromEnd === 1 ? 'total' : rank === 4 && axis === 2 ? 'sequence' : undefined;
    case 'imageGrid':
      return axis === 0 ? 'images' : undefined;
    case 'pixels':
      // [patches, values of a patch], as Qwen's image processor flattens them.
      return axis === 0 && rank === 2 ? 'patches' : undefined;
    default:
      return undefined;
  }
}

/** For a reader: the inputs and their dims. */
export const describeDims = (dims: ReadonlyMap<string, readonly Dim[]>) =>
  [...dims].map(([name, sizes]) => `${name} [${sizes.join(', ')}]`).join(', ');
