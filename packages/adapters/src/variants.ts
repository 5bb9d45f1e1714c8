/** Options of `peft.LoraConfig` that change what an adapted layer computes, or what it is computed over. */

import { AdapterError } from './errors.js';

/** Option → what it is called. With any of these set, the layer is not g·(W + s·B·A). */
const VARIANTS: Readonly<Record<string, string>> = {
  alora_invocation_tokens: 'aLoRA (active from its invocation tokens on)',
  arrow_config: 'Arrow (routes each token to experts)',
  kasa_config: 'KaSA (singular values between A and B)',
  use_bdlora: 'BD-LoRA (block-diagonal A or B)',
  velora_config: 'VeLoRA',
  monteclora_config: 'MonteCLoRA (samples of A and B)',
  use_qalora: 'QALoRA (A over groups of inputs)',
  lora_bias: 'a bias on lora_B',
  megatron_config: 'Megatron (layers parallel over devices)',
  layer_replication: 'layer replication (a base with layers repeated)',
  target_parameters: 'LoRA on parameters, not layers (target_parameters)',
  trainable_token_indices: 'trainable tokens (rows of the embedding replaced)',
};

/** @throws AdapterError `unsupported` that names the variant. */
export function refuseVariants(json: Readonly<Record<string, unknown>>, file: string): void {
  for (const [option, name] of Object.entries(VARIANTS)) {
    if (!isSet(json[option])) continue;
    throw new AdapterError('unsupported', file, `it uses ${name}: ${option} is set`, {
      todo: 'only plain LoRA and DoRA layers are read',
    });
  }
}

const isSet = (value: unknown) =>
  value !== undefined && value !== null && value !== false && !(Array.isArray(value) && value.length === 0);

/** Initialisations that subtract the adapter's start from the base: `pissa_niter_16` is one, too. */
const BASE_CHANGING = /^(pissa|pissa_niter_\d+|olora|corda|loftq|lora_ga)$/;

/**
 * What to say about `init_lora_weights`: some initialisations change W, so that the adapter belongs to the changed one.
 * (PEFT can convert such an adapter when it saves it, and then writes `true` here.)
 */
export function initialisationWarning(initLoraWeights: unknown): string | undefined {
  if (typeof initLoraWeights !== 'string' || !BASE_CHANGING.test(initLoraWeights)) return undefined;
  return (
    `init_lora_weights is ${initLoraWeights}, which changed the weights of the base model: ` +
    'the adapter is right only over the base as it was saved after that, not over the published one'
  );
}
