import { expect, it } from 'vitest';
import { formatKey, parseKey } from './keys.js';

it.each([
  ['base_model.model.model.layers.0.q_proj.lora_A.weight', 'model.layers.0.q_proj', 'loraA', undefined],
  ['model.layers.0.q_proj.lora_B.weight', 'model.layers.0.q_proj', 'loraB', undefined],
  ['base_model.model.fc.lora_A.default.weight', 'fc', 'loraA', 'default'],
  ['base_model.model.fc.lora_magnitude_vector', 'fc', 'magnitude', undefined],
  ['base_model.model.fc.lora_magnitude_vector.weight', 'fc', 'magnitude', undefined],
  ['base_model.model.fc.lora_magnitude_vector.my adapter', 'fc', 'magnitude', 'my adapter'],
  ['base_model.model.fc.lora_magnitude_vector.default.weight', 'fc', 'magnitude', 'default'],
  ['base_model.model.embed.lora_embedding_A', 'embed', 'embeddingA', undefined],
  ['base_model.model.embed.lora_embedding_B.default', 'embed', 'embeddingB', 'default'],
])('%s', (key, module, part, adapter) => {
  expect(parseKey(key)).toEqual({ module, part, adapter });
});

it.each(['lora_A.weight', 'fc.weight', 'fc.lora_A_weight', 'fc.lora_A.a.b', 'fc.lora_bias.weight', ''])(
  '%j is none',
  (key) => expect(parseKey(key)).toBeUndefined(),
);

it('is written as PEFT does', () => {
  expect(formatKey('fc', 'loraA')).toBe('base_model.model.fc.lora_A.weight');
  expect(formatKey('fc', 'magnitude')).toBe('base_model.model.fc.lora_magnitude_vector');
  expect(formatKey('embed', 'embeddingB')).toBe('base_model.model.embed.lora_embedding_B');
});
