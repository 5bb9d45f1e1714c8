/** The tensors of an adapter, put together to modules and checked against one another and the config. */

import type { AdapterConfig } from './config.js';
import { AdapterError } from './errors.js';
import { type Part, parseKey, unwrapped } from './keys.js';
import { compileKey } from './patterns.js';
import type { AdapterTensor } from './safetensors/file.js';

/** One adapted layer: y = base(x) + s·B·(A·x), and with a magnitude y = g·(W·x + s·B·(A·x)) + bias. */
export interface AdapterModule {
  /** Path in the base model, as in `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  readonly kind: ModuleKind;
  /** r */
  readonly rank: number;
  /** s = alpha/r, or alpha/√r with rsLoRA. */
  readonly scaling: number;
  /** Channels that the magnitude belongs to: rows of W, of an embedding the width of its vectors. */
  readonly outFeatures: number;
  /** Columns of W; of a convolution input channels a group, of an embedding the entries. */
  readonly inFeatures: number;
  /** Linear and embedding `[r, in]`, convolution `[r, in, kernel…]`. */
  readonly loraA: AdapterTensor;
  /** Linear and embedding `[out, r]`, convolution `[out, r, 1…]`. */
  readonly loraB: AdapterTensor;
  /** m: linear and embedding `[out]`, convolution `[1, out, 1…]`. Only DoRA has one. */
  readonly magnitude?: AdapterTensor;
}

export type ModuleKind = 'linear' | 'embedding' | 'conv';

export interface GroupedTensors {
  /** By path, sorted. */
  readonly modules: ReadonlyMap<string, AdapterModule>;
  /** What is no part of an adapter, by its path in the base model: biases and whole modules. */
  readonly replacements: ReadonlyMap<string, AdapterTensor>;
}

/**
 * @param file for messages
 * @throws AdapterError `tensors`, `pattern`
 */
export function groupTensors(
  tensors: ReadonlyMap<string, AdapterTensor>,
  config: AdapterConfig,
  file: string,
): GroupedTensors {
  const parts = new Map<string, Map<Part, AdapterTensor>>();
  const replacements = new Map<string, AdapterTensor>();
  const adapters = new Set<string>();
  for (const [name, tensor] of tensors) {
    const key = parseKey(name);
    if (key === undefined) {
      replacements.set(unwrapped(name), tensor);
      continue;
    }
    adapters.add(key.adapter ?? '');
    const module = parts.get(key.module) ?? new Map<Part, AdapterTensor>();
    const other = module.get(key.part);
    if (other !== undefined && adapters.size === 1) {
      throw inconsistent(file, `'${other.name}' and '${name}' are the same part of one module`);
    }
    parts.set(key.module, module.set(key.part, tensor));
  }
  if (adapters.size > 1) {
    const names = [...adapters].map((name) => (name === '' ? 'one without a name' : `'${name}'`)).sort();
    throw inconsistent(file, `it holds several adapters, ${names.join(', ')}: save each in a folder of its own`);
  }
  const ranks = new Values(config.rankPattern, config.rank, 'rank_pattern', file);
  const alphas = new Values(config.alphaPattern, config.alpha, 'alpha_pattern', file);
  const modules = [...parts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, found]) => {
      const rank = ranks.of(path);
      const alpha = alphas.of(path);
      return makeModule(path, found, { ...config, rank, alpha }, file);
    });
  return { modules: new Map(modules.map((module) => [module.path, module])), replacements };
}

function makeModule(
  path: string,
  parts: ReadonlyMap<Part, AdapterTensor>,
  { rank, alpha, useRslora, useDora }: AdapterConfig,
  file: string,
): AdapterModule {
  const fail = (what: string) => inconsistent(file, `module ${path} ${what}`);
  const embedded = parts.has('embeddingA') || parts.has('embeddingB');
  if (embedded && (parts.has('loraA') || parts.has('loraB'))) throw fail('has parts of an embedding and of a layer');
  const take = (part: Part, name: string) => {
    const tensor = parts.get(part);
    if (tensor === undefined) throw fail(`has no ${name}`);
    return tensor;
  };
  const loraA = embedded ? take('embeddingA', 'lora_embedding_A') : take('loraA', 'lora_A');
  const loraB = embedded ? take('embeddingB', 'lora_embedding_B') : take('loraB', 'lora_B');
  const axes = loraA.dims.length;
  const [storedRank = 0, inFeatures = 0] = loraA.dims;
  const [outFeatures = 0] = loraB.dims;
  if (axes < 2 || axes > 5 || (embedded && axes !== 2)) throw fail(`has an A of ${shape(loraA)}`);
  if (storedRank !== rank) {
    throw fail(
      `has an A of ${shape(loraA)}, rank ${storedRank}, and a rank of ${rank} by the config (r, rank_pattern)`,
    );
  }
  const expected = [outFeatures, rank, ...Array<number>(axes - 2).fill(1)];
  if (!isShape(loraB, expected)) throw fail(`has an A of ${shape(loraA)} and a B of ${shape(loraB)}, which do not fit`);
  const module = {
    path,
    kind: embedded ? ('embedding' as const) : axes > 2 ? ('conv' as const) : ('linear' as const),
    rank,
    scaling: alpha / (useRslora ? Math.sqrt(rank) : rank),
    outFeatures,
    inFeatures,
    loraA,
    loraB,
  };
  const magnitude = parts.get('magnitude');
  if (!useDora) {
    if (magnitude !== undefined) throw fail('has a lora_magnitude_vector, and use_dora is false in the config');
    return module;
  }
  if (magnitude === undefined) throw fail('has no lora_magnitude_vector, and use_dora is true in the config');
  const magnitudeShape = axes === 2 ? [outFeatures] : [1, outFeatures, ...Array<number>(axes - 2).fill(1)];
  if (!isShape(magnitude, magnitudeShape)) {
    throw fail(`has a magnitude of ${shape(magnitude)}, not [${magnitudeShape.join(', ')}]`);
  }
  return { ...module, magnitude };
}

/** The value that a pattern of the config gives each module: of the first key that fits, else the default. */
class Values {
  readonly #keys: readonly { readonly fits: (path: string) => boolean; readonly value: number }[];

  constructor(
    pattern: ReadonlyMap<string, number>,
    private readonly otherwise: number,
    option: string,
    file: string,
  ) {
    this.#keys = [...pattern].map(([key, value]) => {
      const fits = compileKey(key);
      if (fits === undefined) {
        throw new AdapterError(
          'pattern',
          file,
          `the key '${key}' of ${option} is no regular expression of linear time`,
          {
            todo: 'rewrite it without lookaround and backreferences, or list the modules',
          },
        );
      }
      return { fits, value };
    });
  }

  of(path: string): number {
    return this.#keys.find(({ fits }) => fits(path))?.value ?? this.otherwise;
  }
}

const shape = (tensor: AdapterTensor) => `[${tensor.dims.join(', ')}]`;

const isShape = ({ dims }: AdapterTensor, expected: readonly number[]) =>
  dims.length === expected.length && dims.every((size, axis) => size === expected[axis]);

function inconsistent(file: string, what: string): AdapterError {
  return new AdapterError('tensors', file, what);
}
