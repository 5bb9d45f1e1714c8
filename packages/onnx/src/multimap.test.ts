import { expect, test } from 'vitest';
import { Multimap } from './multimap.js';

test('keeps each value of a key once, in order, and forgets a key with its last value', () => {
  const map = new Multimap<string, { readonly id: number }>();
  const [a, b, c] = [{ id: 1 }, { id: 2 }, { id: 3 }];
  expect([map.has('x'), [...map.get('x')]]).toEqual([false, []]);
  expect([a, a, b, a, c].map((value) => map.add('x', value))).toEqual([true, false, false, false, false]);
  expect([...map.get('x')]).toEqual([a, b, c]);
  map.add('y', a);
  map.delete('y', b);
  expect([...map.get('y')]).toEqual([a]);
  map.delete('y', a);
  expect(map.has('y')).toBe(false);
  for (const value of [b, a, c]) map.delete('x', value);
  expect(map.has('x')).toBe(false);
  expect(map.add('x', c)).toBe(true);
  map.add('x', a);
  map.deleteAll('x');
  expect([...map.get('x')]).toEqual([]);
});
