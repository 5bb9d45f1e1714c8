/** Names of tensors in adapter_model.safetensors, in all the forms that PEFT has written. */

/** What a tensor is to its module. */
export type Part = 'loraA' | 'loraB' | 'embeddingA' | 'embeddingB' | 'magnitude';

export interface TensorKey {
  /** Path of the module in the base model, without PEFT's wrapper. */
  readonly module: string;
  readonly part: Part;
  /** The adapter's name where the key has one, as in state dicts that PEFT did not save itself. */
  readonly adapter: string | undefined;
}

const PARTS: Readonly<Record<string, Part>> = {
  lora_A: 'loraA',
  lora_B: 'loraB',
  lora_embedding_A: 'embeddingA',
  lora_embedding_B: 'embeddingB',
  lora_magnitude_vector: 'magnitude',
};

/** PEFT's own names of the parts. */
const NAMES: Readonly<Record<Part, string>> = {
  loraA: 'lora_A.weight',
  loraB: 'lora_B.weight',
  embeddingA: 'lora_embedding_A',
  embeddingB: 'lora_embedding_B',
  magnitude: 'lora_magnitude_vector',
};

/** PEFT's wrapper: PeftModel.base_model is a LoraModel, whose model is the base model. */
const WRAPPER = 'base_model.model.';

const KEY = /^(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)((?:\.[^.]+){0,2})$/s;

/** Takes a key apart: `[base_model.model.]<module>.<part>[.<adapter>][.weight]`. Undefined for any other. */
export function parseKey(key: string): TensorKey | undefined {
  const match = KEY.exec(unwrapped(key));
  if (match === null) return undefined;
  const [, module = '', part = '', rest = ''] = match;
  const words = rest.split('.').slice(1);
  if (words.at(-1) === 'weight') words.pop();
  return words.length > 1 ? undefined : { module, part: PARTS[part]!, adapter: words[0] };
}

/** A key as PEFT itself saves it. */
export const formatKey = (module: string, part: Part): string => `${WRAPPER}${module}.${NAMES[part]}`;

/** A key, or the path of a module, without PEFT's wrapper. */
export const unwrapped = (key: string): string => (key.startsWith(WRAPPER) ? key.slice(WRAPPER.length) : key);
