/** adapter_config.json: what of it decides the numbers. */

import { AdapterError } from './errors.js';
import { isObject, JsonError, parseJson } from './json.js';
import type { KeyRule } from './patterns.js';
import { refuseVariants } from './variants.js';

/** A LoRA configuration of PEFT (`peft.LoraConfig`), as far as it matters once training is over. */
export interface AdapterConfig {
  /** The file's text, as it is. */
  readonly text: string;
  /** The parsed file, unknown keys included. */
  readonly json: Readonly<Record<string, unknown>>;
  /** `r`, for modules that no pattern of `rankPattern` names. */
  readonly rank: number;
  /** `lora_alpha`, for modules that no pattern of `alphaPattern` names. */
  readonly alpha: number;
  /** scaling is alpha/√r, not alpha/r. */
  readonly useRslora: boolean;
  /** Every module has a magnitude. */
  readonly useDora: boolean;
  /** The base layers store their weights `[in, out]`. PEFT sets it by itself for Conv1D. */
  readonly fanInFanOut: boolean;
  /** Regular expressions of module paths, the first that fits counts. */
  readonly rankPattern: ReadonlyMap<string, number>;
  readonly alphaPattern: ReadonlyMap<string, number>;
  /** How the keys of both are read: as the PEFT that wrote the file does. */
  readonly keyRule: KeyRule;
  /** Ends of module paths, or one regular expression (or `all-linear`). */
  readonly targetModules: string | readonly string[] | undefined;
  readonly excludeModules: string | readonly string[] | undefined;
  /** Whether the adapter brings biases of the base model along. */
  readonly bias: 'none' | 'all' | 'lora_only';
  /** Modules of the base model that were trained and saved whole. */
  readonly modulesToSave: readonly string[];
  readonly initLoraWeights: unknown;
  /** Version of PEFT that wrote it; only 0.18 and newer say. */
  readonly peftVersion: string | undefined;
}

/**
 * Parses and checks the text of an adapter_config.json.
 * @param file for messages
 * @throws AdapterError `config`; `unsupported` for other methods than LoRA and for variants of it that change the formula.
 */
export function parseConfig(bytes: Uint8Array, file: string): AdapterConfig {
  const json = parseFile(bytes, file);
  const field = new Fields(json, file);
  const method = json.peft_type;
  if (method !== 'LORA') {
    throw new AdapterError('unsupported', file, `it is of the method ${describe(method)} (peft_type)`, {
      todo: 'only LORA is read, with or without DoRA',
    });
  }
  refuseVariants(json, file);
  return {
    text: new TextDecoder().decode(bytes),
    json,
    rank: field.positiveInteger('r', 8),
    alpha: field.number('lora_alpha', 8),
    useRslora: field.boolean('use_rslora'),
    useDora: field.boolean('use_dora'),
    fanInFanOut: field.boolean('fan_in_fan_out'),
    rankPattern: field.pattern('rank_pattern', isPositiveInteger, 'a whole number of at least 1'),
    alphaPattern: field.pattern('alpha_pattern', Number.isFinite, 'a number'),
    // PEFT 0.15 changed the rule, and was the first to write corda_config.
    keyRule: 'corda_config' in json || 'peft_version' in json ? 'since 0.15' : 'before 0.15',
    targetModules: field.names('target_modules'),
    excludeModules: field.names('exclude_modules'),
    bias: field.oneOf('bias', ['none', 'all', 'lora_only']),
    modulesToSave: [field.names('modules_to_save') ?? []].flat(),
    initLoraWeights: json.init_lora_weights ?? true,
    peftVersion: typeof json.peft_version === 'string' ? json.peft_version : undefined,
  };
}

/** As {@link parseConfig}, for a text that is no file (any more). */
export function parseAdapterConfig(text: string): AdapterConfig {
  return parseConfig(Buffer.from(text), 'adapter_config.json');
}

function parseFile(bytes: Uint8Array, file: string): Readonly<Record<string, unknown>> {
  let json: unknown;
  try {
    json = parseJson(bytes);
  } catch (error) {
    if (error instanceof JsonError) throw invalid(file, error.message);
    throw error;
  }
  if (!isObject(json)) throw invalid(file, 'it is not a JSON object');
  return json;
}

/** Reads fields of the types that PEFT gives them; what is absent or null has PEFT's default. */
class Fields {
  constructor(
    private readonly json: Readonly<Record<string, unknown>>,
    private readonly file: string,
  ) {}

  boolean(key: string): boolean {
    return this.#read(key, false, (value) => typeof value === 'boolean', 'true or false');
  }

  number(key: string, otherwise: number): number {
    return this.#read(key, otherwise, (value) => typeof value === 'number', 'a number');
  }

  positiveInteger(key: string, otherwise: number): number {
    return this.#read(key, otherwise, isPositiveInteger, 'a whole number of at least 1');
  }

  oneOf<T extends string>(key: string, values: readonly [T, ...T[]]): T {
    return this.#read(key, values[0], (value) => values.includes(value as T), `one of ${values.join(', ')}`);
  }

  names(key: string): string | readonly string[] | undefined {
    const isNames = (value: unknown) =>
      typeof value === 'string' || (Array.isArray(value) && value.every((name) => typeof name === 'string'));
    return this.#read<string | readonly string[] | undefined>(key, undefined, isNames, 'a string or a list of strings');
  }

  pattern(key: string, isValue: (value: unknown) => boolean, expected: string): ReadonlyMap<string, number> {
    const isPattern = (value: unknown) => isObject(value) && Object.values(value).every(isValue);
    return new Map(Object.entries(this.#read(key, {}, isPattern, `an object whose every value is ${expected}`)));
  }

  #read<T>(key: string, otherwise: T, isValid: (value: unknown) => boolean, expected: string): T {
    const value = this.json[key] ?? undefined;
    if (value === undefined) return otherwise;
    if (!isValid(value)) throw invalid(this.file, `${key} is ${describe(value)}, and must be ${expected}`);
    return value as T;
  }
}

const isPositiveInteger = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 1;

function describe(value: unknown): string {
  const text = JSON.stringify(value) ?? 'absent';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function invalid(file: string, what: string): AdapterError {
  return new AdapterError('config', file, what, { todo: 'get the file again, or save the adapter again with PEFT' });
}
