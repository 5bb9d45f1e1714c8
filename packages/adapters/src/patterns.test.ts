import { expect, it } from 'vitest';
import { PathPatterns } from './patterns.js';

const PATH = 'model.layers.10.self_attn.q_proj';

it.each<[string, boolean, boolean]>([
  // key, fits since 0.15, fits before
  ['q_proj', true, true],
  ['proj', false, false],
  [PATH, true, false],
  [`^${PATH}`, true, false],
  ['layers.10.self_attn.q_proj', true, true],
  [String.raw`layers\.\d+\.self_attn\.[qk]_proj`, true, true],
  ['k_proj|q_proj', true, false],
  ['model', false, false],
])('the key %j', (key, since, before) => {
  expect(new PathPatterns().compileKey(key, 'since 0.15')(PATH)).toBe(since);
  expect(new PathPatterns().compileKey(key, 'before 0.15')(PATH)).toBe(before);
});

it.each([
  ['lookahead', '(?!model).*'],
  ['backreferences', String.raw`(a)\1`],
  ['what is no pattern', '('],
  ['repetition of repetition', '((a{1000}){1000}){1000}'],
  ['depth', '('.repeat(20_000)],
  ['length', 'a'.repeat(2 ** 16 + 1)],
])('%s cannot be evaluated', (_, pattern) => {
  expect(new PathPatterns().compile(pattern)(PATH)).toBeUndefined();
});

it.each(['(a+)+b', '(.*a){25}b', '(a|a)*b', '(((a*)*)*)*b', '(x+x+)+y'])('%s takes no exponential time', (pattern) => {
  const start = performance.now();
  expect(new PathPatterns().compile(pattern)('a'.repeat(5000))).toBe(false);
  expect(performance.now() - start).toBeLessThan(3000);
});

it('ends when the time is used up', () => {
  const patterns = new PathPatterns(50);
  const costly = patterns.compile(`${'[^a]{1000}'.repeat(100)}b`);
  const start = performance.now();
  let answer: boolean | undefined;
  do answer = costly('b'.repeat(2000));
  while (answer !== undefined && performance.now() - start < 20_000);
  expect(answer).toBeUndefined();
  expect(patterns.compile('a')('a')).toBeUndefined();
});
