import type { AdapterModule } from './modules.js';

/**
 * Text of an adapter_config.json that gives each module its rank and scaling, for adapters whose own is lost. The most
 * common values are the defaults, `rank_pattern` and `alpha_pattern` name the others by their whole path.
 *
 * `use_rslora` is false: alpha is chosen so that alpha/r, rounded to float32, is the scaling.
 */
export function reconstructConfig(
  modules: readonly Pick<AdapterModule, 'path' | 'rank' | 'scaling'>[],
  options: { readonly useDora: boolean },
): string {
  const sorted = [...modules].sort((a, b) => (a.path < b.path ? -1 : 1));
  const ranks = sorted.map(({ path, rank }) => [path, rank] as const);
  const alphas = sorted.map(({ path, rank, scaling }) => [path, alphaOf(scaling, rank)] as const);
  const rank = mostCommon(ranks) ?? 8;
  const alpha = mostCommon(alphas) ?? 8;
  const rankPattern = pattern(ranks, rank);
  const alphaPattern = pattern(alphas, alpha);
  const hasPattern = Object.keys({ ...rankPattern, ...alphaPattern }).length > 0;
  const config = {
    alpha_pattern: alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: null,
    bias: 'none',
    // PEFT 0.15, the first to have this key, is also the first to read the patterns as they are written here.
    ...(hasPattern ? { corda_config: null } : {}),
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: rank,
    rank_pattern: rankPattern,
    target_modules: sorted.map(({ path }) => path),
    task_type: null,
    use_dora: options.useDora,
    use_rslora: false,
  };
  return JSON.stringify(config, null, 2);
}

/** The alpha of a scaling: a whole number where one gives it. */
function alphaOf(scaling: number, rank: number): number {
  const whole = Math.round(scaling * rank);
  return Math.fround(whole / rank) === Math.fround(scaling) ? whole : scaling * rank;
}

/** The most common value; of equally common ones the first. */
function mostCommon(values: readonly (readonly [string, number])[]): number | undefined {
  const counts = new Map<number, number>();
  for (const [, value] of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}

function pattern(values: readonly (readonly [string, number])[], otherwise: number): Record<string, number> {
  return Object.fromEntries(
    values.filter(([, value]) => value !== otherwise).map(([path, value]) => [`^${escaped(path)}`, value]),
  );
}

const escaped = (path: string) => path.replace(/[^\w/-]/g, (character) => `\\${character}`);
