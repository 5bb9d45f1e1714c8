import { makeGraph, makeModel, setMetadata } from '@ort-dora/onnx';
import { expect, it } from 'vitest';
import { MODULES_METADATA, readProvenance, writeProvenance } from './provenance.js';

const emptyModel = () => makeModel(makeGraph('empty', { nodes: [], outputs: [] }), { opsets: { '': 20 } });

it('comes back as it was written', () => {
  const model = emptyModel();
  const written = { adapterConfig: '{"r": 8,\n "x": "ß"}', modules: new Map([['model.q_proj', 'model.q_proj']]) };
  writeProvenance(model, written);
  expect(readProvenance(model)).toEqual(written);
});

it.each(['', '{', '[]', 'null', '{"node": 3}'])('is nothing where the metadata is %j', (text) => {
  const model = emptyModel();
  writeProvenance(model, { adapterConfig: '{}', modules: new Map() });
  setMetadata(model, MODULES_METADATA, text);
  expect(readProvenance(model)).toBeUndefined();
});

it('is nothing in a model that was not attached', () => {
  expect(readProvenance(emptyModel())).toBeUndefined();
});
