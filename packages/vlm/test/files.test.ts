// Pictures as files: pixels against those of transformers with Pillow.
import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { decodeImage } from '../src/image/decode-image.js';
import { FIXTURES, recorded } from './recorded.js';

interface FileCase {
  file: string;
  width: number;
  height: number;
}

const limits = { maxBytes: 1 << 20, maxPixels: 1 << 20 };
const pixels = gunzipSync(await readFile(`${FIXTURES}files.bin.gz`));
let start = 0;
const cases = recorded<FileCase[]>('files.json').map((entry) => {
  start += entry.width * entry.height * 3;
  return { ...entry, expected: pixels.subarray(start - entry.width * entry.height * 3, start) };
});

it.each(cases)('$file', async ({ file, width, height, expected }) => {
  const image = await decodeImage(await readFile(`${FIXTURES}files/${file}`), limits);
  expect([image.width, image.height]).toEqual([width, height]);
  const differences = image.data.map((level, i) => Math.abs(level - expected[i]!));
  expect(Math.max(...differences)).toBe(0);
});
