import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { findOrtLibrary } from '../ort-library.js';
import { neededLibraries } from './shared-object.js';

const library = findOrtLibrary().path;
const root = mkdtempSync(join(tmpdir(), 'shared-object-'));
afterAll(() => rmSync(root, { recursive: true }));

const written = (bytes: Uint8Array) => {
  const path = join(root, 'lib.so');
  writeFileSync(path, bytes);
  return path;
};

test('the libraries that a shared object needs', () => {
  expect(neededLibraries(library)).toContain('libc.so.6');
});

test('a file that is something else', () => {
  expect(() => neededLibraries(written(new Uint8Array(100)))).toThrow(/is not a 64-bit shared object/);
  expect(() => neededLibraries(written(new Uint8Array(10)))).toThrow(/is cut off/);
  expect(() => neededLibraries('/nowhere.so')).toThrow(/ENOENT/);
});

test('a damaged one is refused, whatever its header says', () => {
  const head = readFileSync(library).subarray(0, 4096);
  for (let at = 16; at < 64; at++) {
    for (const value of [0, 0xff]) {
      const damaged = Buffer.from(head);
      damaged[at] = value;
      expect(() => neededLibraries(written(damaged))).toThrow(/is (cut off|damaged)|has no dynamic section|range/);
    }
  }
});
