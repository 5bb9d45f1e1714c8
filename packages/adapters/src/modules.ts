/** The tensors of an adapter, put together to modules and checked against one another and the config. */

import type { AdapterConfig } from './config.js';
import { AdapterError } from './errors.js';
import { type Part, parseKey, unwrapped } from './keys.js';
import type { KeyRule, PathPatterns } from './patterns.js';
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
  readonly warnings: readonly string[];
}

/**
 * @param file for messages
 * @throws AdapterError `tensors`, `pattern`
 */
export function groupTensors(
  tensors: ReadonlyMap<string, AdapterTensor>,
  config: AdapterConfig,
  patterns: PathPatterns,
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
  const numbers = new Numbers(config, config.keyRule, patterns, file);
  const today = new Numbers(config, 'since 0.15', patterns, file);
  const readDifferently: string[] = [];
  const modules = [...parts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, found]) => {
      const [rank, alpha] = [numbers.rank(path), numbers.alpha(path)];
      if (today.rank(path) !== rank || today.alpha(path) !== alpha) readDifferently.push(path);
      return makeModule(path, found, { ...config, rank, alpha }, file);
    });
  return {
    modules: new Map(modules.map((module) => [module.path, module])),
    replacements,
    warnings: readDifferently.length === 0 ? [] : [ruleWarning(readDifferently, modules.length)],
  };
}

function ruleWarning(paths: readonly string[], total: number): string {
  return (
    `rank_pattern and alpha_pattern give ${paths.length} of ${total} modules, ${paths[0]} first, other values in PEFT 0.15 ` +
    'and newer than in the older one that wrote them; those of the older one are used'
  );
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
  const [, rankOfGroup = 0] = loraB.dims;
  if (axes > 2 && rankOfGroup < rank && rank % rankOfGroup === 0) {
    throw new AdapterError('unsupported', file, `module ${path} is a convolution in ${rank / rankOfGroup} groups`, {
      todo: 'adapters on convolutions in one group are read',
    });
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

/** Rank and alpha of modules: of the first key that fits, else the default. */
class Numbers {
  readonly rank: (path: string) => number;
  readonly alpha: (path: string) => number;

  constructor(config: AdapterConfig, rule: KeyRule, patterns: PathPatterns, file: string) {
    const reader = (option: string, pattern: ReadonlyMap<string, number>, otherwise: number) => {
      const keys = [...pattern].map(([key, value]) => ({ key, fits: patterns.compileKey(key, rule), value }));
      return (path: string) => {
        for (const { key, fits, value } of keys) {
          const fitted = fits(path);
          if (fitted === undefined) throw unevaluated(file, key, option);
          if (fitted) return value;
        }
        return pattern.get(path) ?? otherwise;
      };
    };
    this.rank = reader('rank_pattern', config.rankPattern, config.rank);
    this.alpha = reader('alpha_pattern', config.alphaPattern, config.alpha);
  }
}

function unevaluated(file: string, key: string, option: string): AdapterError {
  return new AdapterError('pattern', file, `the key '${key}' of ${option} cannot be evaluated in linear time`, {
    todo: 'write it without lookaround and backreferences, or list the modules',
  });
}

const shape = (tensor: AdapterTensor) => `[${tensor.dims.join(', ')}]`;

const isShape = ({ dims }: AdapterTensor, expected: readonly number[]) =>
  dims.length === expected.length && dims.every((size, axis) => size === expected[axis]);

function inconsistent(file: string, what: string): AdapterError {
  return new AdapterError('tensors', file, what);
}
