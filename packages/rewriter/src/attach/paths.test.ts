import { expect, it } from 'vitest';
import { fitOf, isThinned, sharedEnd } from './paths.js';

const split = (path: string) => path.split('.');

it.each([
  ['model.layers.0.fc', 'model.layers.0.fc', 'whole'],
  ['model.layers.0.self_attn.q_proj', 'model.layers.0.attn.q_proj', 'whole'],
  ['layers.0.fc', 'model.layers.0.fc', 'longer'],
  ['model.layers.0.fc', 'layers.0.fc', 'shorter'],
  ['model.decoder.layers.0.fc', 'model.layers.0.fc', 'thinned'],
  ['h.0.c_attn', 'c_attn', 'shorter'],
  ['model.layers.0.fc', 'model.layers.1.fc', undefined],
  ['model.layers.10.fc', 'model.layers.0.fc', undefined],
  ['model.layers.0.fc', 'model.layers.0.fc2', undefined],
  ['model.text.layers.0.fc', 'model.vision.layers.0.fc', undefined],
  ['model.layers.0.experts.3.fc', 'model.layers.0.fc', undefined],
  ['model.layers.0.experts.3.fc', 'model.layers.3.fc', undefined],
  ['model.layers.0.fc', 'model.layers.0.fc.base_layer', undefined],
  ['', 'fc', undefined],
])('%s, exported as %s: %s', (wanted, exported, fit) => {
  expect(fitOf(split(wanted).filter(Boolean), split(exported))).toBe(fit);
});

it.each([
  ['fc', 'model.layers.0.fc', true],
  ['layers.0.fc', 'model.layers.0.fc', true],
  ['model.layers.0.fc', 'model.decoder.layers.0.fc', true],
  ['model.fc', 'model.layers.0.fc', false],
  ['model.layers.0.fc', 'model.layers.0.fc', false],
  ['model.layers.0.fc.x', 'model.layers.0.fc', false],
  ['fc.model', 'model.fc', false],
])('%s is %s thinned: %s', (thin, whole, expected) => {
  expect(isThinned(split(thin), split(whole))).toBe(expected);
});

it('counts what is shared from the end', () => {
  expect(sharedEnd(split('a.b.c'), split('x.b.c'))).toBe(2);
  expect(sharedEnd(split('a.b.c'), split('b.c'))).toBe(2);
  expect(sharedEnd(split('a'), split('b'))).toBe(0);
});
