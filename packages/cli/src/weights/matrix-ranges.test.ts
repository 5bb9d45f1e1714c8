import { expect, test } from 'vitest';
import { floats, noise, stored } from '../../test/support/stored.js';
import { Memory, readAll, readOutputs } from './matrix-ranges.js';

/** Counts the reads of a tensor. */
function counted(tensor: ReturnType<typeof stored>) {
  const reads: (readonly [start: number, end: number])[] = [];
  const read = (start = 0, end = tensor.byteLength) => {
    reads.push([start, end]);
    return tensor.read(start, end);
  };
  return { tensor: { ...tensor, read }, reads };
}

test('outputs that are rows are one read', async () => {
  const { tensor, reads } = counted(stored(noise(12, 1), [4, 3], 'float32'));
  const part = await readOutputs({ tensor, transposed: 0, outputs: 4, inner: 3 }, { first: 1, count: 2 }, new Memory());
  expect(part.dims).toEqual([2, 3]);
  expect(part.data).toEqual((await floats(tensor)).subarray(3, 9));
  expect(reads[0]).toEqual([12, 36]);
});

test.each([
  { outputs: 5, first: 2, count: 2, pieces: 1 },
  { outputs: 5, first: 0, count: 5, pieces: 1 },
  // 400 KB of each row: not worth reading the rest.
  { outputs: 200_000, first: 50_000, count: 100_000, pieces: 3 },
  // Rows of 2.4 MB, of which one fits into a block, and strips of 40 KB.
  { outputs: 600_000, first: 590_000, count: 10_000, pieces: 3 },
])(
  'outputs $first to $first + $count of $outputs columns in $pieces reads',
  async ({ outputs, first, count, pieces }) => {
    const inner = 3;
    const { tensor, reads } = counted(stored(noise(inner * outputs, 2), [inner, outputs], 'float32'));
    const memory = new Memory(4 * inner * count);
    const part = await readOutputs({ tensor, transposed: 1, outputs, inner }, { first, count }, memory);
    expect(reads).toHaveLength(pieces);
    expect(part.dims).toEqual([inner, count]);
    expect((part.data as Float32Array).buffer).toBe(memory.bytes(0).buffer);
    const all = await floats(tensor);
    for (let row = 0; row < inner; row++) {
      const expected = all.subarray(row * outputs + first, row * outputs + first + count);
      expect(Buffer.compare(bytes(part.data as Float32Array, row * count, count), bytes(expected, 0, count))).toBe(0);
    }
  },
);

test('memory is used again, and grows', async () => {
  const memory = new Memory();
  const long = await readAll(stored(noise(6, 1), [6], 'float16'), [2, 3], memory);
  const short = await readAll(stored(noise(2, 1), [2], 'float32'), [2], memory);
  expect((short.data as Float32Array).buffer).toBe((long.data as Uint16Array).buffer);
  expect(short.data).toEqual(noise(2, 1));
});

const bytes = (values: Float32Array, first: number, count: number) =>
  new Uint8Array(values.buffer, values.byteOffset + 4 * first, 4 * count);
