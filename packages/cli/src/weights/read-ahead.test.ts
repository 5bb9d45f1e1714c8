import { expect, test } from 'vitest';
import { readAhead } from './read-ahead.js';

test('the next item is made while one is in use, and none after it', async () => {
  const made: number[] = [];
  async function* source() {
    for (let item = 1; item <= 4; item++) {
      made.push(item);
      yield item;
    }
  }
  const seen: (readonly [item: number, made: number])[] = [];
  for await (const item of readAhead(source())) {
    await new Promise(setImmediate);
    seen.push([item, made.length]);
  }
  expect(seen).toEqual([
    [1, 2],
    [2, 3],
    [3, 4],
    [4, 4],
  ]);
});

test('an error comes in its turn', async () => {
  async function* source() {
    yield 1;
    throw new Error('the disk is gone');
  }
  const seen: number[] = [];
  const all = async () => {
    for await (const item of readAhead(source())) {
      await new Promise(setImmediate);
      seen.push(item);
    }
  };
  await expect(all()).rejects.toThrow('the disk is gone');
  expect(seen).toEqual([1]);
});

test('the source is closed when nobody wants more', async () => {
  let closed = false;
  async function* source() {
    try {
      for (let item = 0; ; item++) yield item;
    } finally {
      closed = true;
    }
  }
  for await (const item of readAhead(source())) if (item === 2) break;
  expect(closed).toBe(true);
});
