import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { entry, safetensors } from '../../test/support/safetensors.js';
import { scratchFolder } from '../../test/support/scratch.js';
import { openSafetensors } from './file.js';

const scratch = scratchFolder();
let files = 0;

async function open(bytes: Uint8Array) {
  const folder = join(scratch(), String(files++));
  mkdirSync(folder);
  writeFileSync(join(folder, 'a.safetensors'), bytes);
  return openSafetensors(folder, 'a.safetensors');
}

it('reads ranges, metadata, empty tensors and scalars', async () => {
  const header = {
    __metadata__: { format: 'pt' },
    b: entry({ dtype: 'BF16', shape: [2], data_offsets: [8, 12] }),
    a: entry({ shape: [2, 1], data_offsets: [0, 8] }),
    empty: entry({ shape: [0, 2 ** 52], data_offsets: [8, 8] }),
    scalar: entry({ shape: [], data_offsets: [12, 16] }),
  };
  const file = (await open(
    safetensors(
      header,
      Uint8Array.from({ length: 16 }, (_, index) => index),
    ),
  ))!;
  expect([...file.tensors.keys()]).toEqual(['a', 'empty', 'b', 'scalar']);
  expect(file.metadata).toEqual(new Map([['format', 'pt']]));
  expect([...(await file.tensors.get('a')!.read(2, 5))]).toEqual([2, 3, 4]);
  expect([...(await file.tensors.get('b')!.read())]).toEqual([8, 9, 10, 11]);
  expect(await file.tensors.get('empty')!.read()).toHaveLength(0);
  expect(() => file.tensors.get('a')!.read(0, 9)).toThrow("tensor 'a' has 8 bytes; [0, 9) was asked for");
  await file.close();
});

it('knows a folder without the file', async () => {
  expect(await openSafetensors(scratch(), 'none.safetensors')).toBeUndefined();
});

const length = (bytes: bigint) => {
  const file = Buffer.alloc(1000, ' ');
  file.writeBigUInt64LE(bytes);
  return file;
};

it.each<[string, Uint8Array, string]>([
  ['nothing', new Uint8Array(0), 'it has 0 bytes'],
  ['a cut length', new Uint8Array(7), 'it has 7 bytes'],
  ['a header longer than the file', length(993n), 'said to take 993 bytes, and the file has 1000'],
  ['a header of 2⁶⁴ bytes', length(2n ** 64n - 1n), 'said to take 18446744073709551615 bytes'],
  ['a header without a brace', length(10n), 'does not start with {'],
  ['no JSON', safetensors('{"a": }'), 'it is not JSON'],
  ['bytes that are no UTF-8', safetensors('{"\uD800":1}').map((byte) => (byte === 0xef ? 0xff : byte)), 'not UTF-8'],
  ['text behind the object', safetensors('{} {}'), 'it is not JSON'],
  [
    'a key twice',
    safetensors(`{"a":${JSON.stringify(entry())},"a":${JSON.stringify(entry())}}`, 24),
    '"a" is there twice',
  ],
  ['a key twice, spelt otherwise', safetensors(`{"a":{},"\\u0061":{}}`), '"a" is there twice'],
  ['a field twice', safetensors('{"a":{"dtype":"F32","dtype":"F16"}}'), '"dtype" is there twice'],
  ['a tensor that is none', safetensors({ a: 3 }), 'has no description'],
  ['no dtype', safetensors({ a: { shape: [], data_offsets: [0, 4] } }, 4), 'has no dtype'],
  ['no shape', safetensors({ a: entry({ shape: 'x' }) }, 24), 'has no shape'],
  ['a fractional size', safetensors({ a: entry({ shape: [2.5] }) }, 24), 'has no shape'],
  ['a negative size', safetensors({ a: entry({ shape: [-2, -3] }) }, 24), 'has no shape'],
  ['thousands of axes', safetensors({ a: entry({ shape: Array(5000).fill(1) }) }, 24), 'has no shape'],
  ['three offsets', safetensors({ a: entry({ data_offsets: [0, 24, 48] }) }, 24), 'has no data_offsets'],
  ['offsets in reverse', safetensors({ a: entry({ data_offsets: [24, 0] }) }, 24), 'takes 24 bytes'],
  ['a shape that is too large', safetensors({ a: entry({ shape: [2 ** 52, 2 ** 52] }) }, 24), 'takes'],
  ['fewer bytes than the shape', safetensors({ a: entry({ data_offsets: [0, 20] }) }, 20), 'takes 24 bytes'],
  ['a gap in front', safetensors({ a: entry({ data_offsets: [4, 28] }) }, 28), "'a' leaves a gap"],
  ['a gap between', safetensors({ a: entry(), b: entry({ data_offsets: [28, 52] }) }, 52), "'b' leaves a gap"],
  ['an overlap', safetensors({ a: entry(), b: entry({ data_offsets: [20, 44] }) }, 44), "'b' overlaps"],
  ['the same bytes twice', safetensors({ a: entry(), b: entry() }, 24), "'b' overlaps"],
  ['data missing', safetensors({ a: entry() }, 20), 'and the file at byte'],
  ['data left over', safetensors({ a: entry() }, 25), 'and the file at byte'],
  ['metadata that is no text', safetensors({ __metadata__: { a: 1 } }), 'is not a string'],
])('refuses %s', async (_, bytes, message) => {
  await expect(open(bytes)).rejects.toMatchObject({ name: 'AdapterError', code: 'malformed' });
  await expect(open(bytes)).rejects.toThrow(message);
});

it('refuses a header of more than 32 MiB', async () => {
  const bytes = safetensors(`{${' '.repeat(32 * 2 ** 20)}}`);
  await expect(open(bytes)).rejects.toThrow('more than the 33554432 that are read');
});

it.each(['F64', 'I64', 'F8_E4M3', 'U8', 'BOOL'])('refuses elements of type %s by name', async (dtype) => {
  await expect(open(safetensors({ a: entry({ dtype }) }, 24))).rejects.toMatchObject({
    code: 'dtype',
    message: expect.stringContaining(`tensor 'a' is of type ${dtype}; adapters are read in F32, F16 and BF16`),
  });
});
