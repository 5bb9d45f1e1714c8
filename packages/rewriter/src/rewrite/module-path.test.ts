import { makeNode } from '@ort-dora/onnx';
import { expect, it } from 'vitest';
import { modulePath } from './module-path.js';

const none = { tensors: [], infos: [], nodes: [] };

it.each([
  ['m.base_model.model.q_proj.lora_magnitude_vector.default.weight', 'q_proj', 'default'],
  ['base_model.model.model.layers.0.mlp.up_proj.lora_A.first.weight', 'model.layers.0.mlp.up_proj', 'first'],
  // PEFT up to 0.11 kept magnitudes in a ParameterDict; checkpoints have no adapter name.
  ['base_model.model.fc.lora_magnitude_vector.default', 'fc', 'default'],
  ['base_model.model.fc.lora_magnitude_vector', 'fc', undefined],
  ['base_model.model.fc.lora_B.weight', 'fc', undefined],
  ['base_model.model.emb.lora_embedding_A.default', 'emb', 'default'],
  ['encoder.layers.1.fc2.lora_A.default.weight', 'encoder.layers.1.fc2', 'default'],
  ['m.base_model.model.q_proj.base_layer.bias', 'q_proj', undefined],
])('reads %s', (name, path, adapter) => {
  expect(modulePath({ ...none, tensors: ['val_7', name] })).toEqual({ path, adapter });
});

it('prefers names that say the adapter', () => {
  const tensors = ['base_model.model.q.base_layer.weight', 'base_model.model.q.lora_A.default.weight'];
  expect(modulePath({ ...none, tensors })).toEqual({ path: 'q', adapter: 'default' });
});

it('reads what was folded into a constant', () => {
  const value = "['add_4', 'base_model.model.q.lora_magnitude_vector.default.weight', 'val_3']";
  const info = { name: 'c', metadataProps: [{ key: 'pkg.onnxscript.optimizer.folded_from', value }] };
  expect(modulePath({ ...none, infos: [info] })).toEqual({ path: 'q', adapter: 'default' });
});

it('reads module scopes of nodes, the innermost first', () => {
  const value =
    "['', 'm', 'm.base_model.model', 'm.base_model.model.q', 'm.base_model.model.q.lora_magnitude_vector.a', 'mul']";
  const node = makeNode('Mul', ['a', 'b'], ['c'], { metadata: { 'pkg.torch.onnx.name_scopes': value } });
  expect(modulePath({ ...none, nodes: [node] })).toEqual({ path: 'q', adapter: 'a' });
});

it('falls back to the names of the legacy exporter', () => {
  const node = makeNode('Div', ['m', 'n'], ['g'], { name: '/model/layers.0/q_proj/default/Div' });
  expect(modulePath({ ...none, nodes: [node] })).toEqual({ path: 'model.layers.0.q_proj', adapter: 'default' });
});

it('knows when there is nothing to read', () => {
  const node = makeNode('Div', ['m', 'n'], ['g'], { name: 'node_div' });
  expect(modulePath({ tensors: ['val_1', 'weight'], infos: [], nodes: [node] })).toBeUndefined();
});
