import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { expect, test } from 'vitest';
import { readNpy } from './npy.js';
import { readNpz, readNpzFile } from './npz.js';

const samples = new URL('../../../../models/fixtures/samples/', import.meta.url);

function npy(descr: string, shape: string, data: Uint8Array, fortran = 'False'): Uint8Array {
  const header = strToU8(`{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': (${shape}), }\n`);
  const bytes = new Uint8Array(10 + header.length + data.length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(header, 10);
  bytes.set(data, 10 + header.length);
  return bytes;
}
const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

test('reads what NumPy wrote', async () => {
  const arrays = await readNpzFile(new URL('m10b_smolvlm_dynamo_mixed/inputs.npz', samples).pathname);
  expect([...arrays.keys()]).toEqual(['pixel_values', 'input_ids']);
  expect(arrays.get('input_ids')).toMatchObject({ type: 'int64', dims: [1, 11] });
  expect(arrays.get('pixel_values')).toMatchObject({ type: 'float16', dims: [1, 3, 16, 16] });
  expect(arrays.get('input_ids')!.data.every((id) => id >= 0n && id < 96n)).toBe(true);
});

test('scalars, empty arrays and Fortran order', () => {
  expect(readNpy(npy('<f4', '', bytesOf(Float32Array.of(5))), 'a')).toMatchObject({
    dims: [],
    data: Float32Array.of(5),
  });
  expect(readNpy(npy('<i8', '0, 4', new Uint8Array(0)), 'a')).toMatchObject({ dims: [0, 4], type: 'int64' });
  const turned = readNpy(npy('<i4', '2, 3', bytesOf(Int32Array.of(1, 4, 2, 5, 3, 6)), 'True'), 'a');
  expect(turned).toEqual({ type: 'int32', dims: [2, 3], data: Int32Array.of(1, 2, 3, 4, 5, 6) });
});

test.each([
  [
    'too few bytes',
    npy('<f4', '2, 3', new Uint8Array(20)),
    'has 20 bytes of data where shape [2,3] of float32 needs 24',
  ],
  ['too many bytes', npy('<f4', '2', new Uint8Array(9)), 'has 9 bytes'],
  ['objects', npy('|O', '2', new Uint8Array(16)), '"|O"'],
  ['big-endian numbers', npy('>f4', '1', new Uint8Array(4)), '">f4"'],
  ['a huge shape', npy('<f4', '99999999, 99999999, 99999999', new Uint8Array(4)), 'too large'],
  ['a shape past every number', npy('<f4', '9'.repeat(400), new Uint8Array(4)), 'too large'],
  ['a negative shape', npy('<f4', '-1,', new Uint8Array(4)), 'without descr, fortran_order or shape'],
  ['too many dimensions', npy('<f4', '1,'.repeat(40), new Uint8Array(4)), 'at most 32'],
  ['nothing', new Uint8Array(0), 'not a .npy array'],
  ['a header cut short', npy('<f4', '1', new Uint8Array(4)).subarray(0, 20), 'ends inside its header'],
] as const)('refuses %s', (_name, bytes, message) => {
  expect(() => readNpy(bytes, 'inputs.npz: array "x"')).toThrow(message);
  expect(() => readNpy(bytes, 'inputs.npz: array "x"')).toThrow('inputs.npz: array "x"');
});

test('a zip bomb is refused by what it says of itself', () => {
  const bomb = zipSync({ 'x.npy': new Uint8Array(64 * 2 ** 20) }, { level: 9 });
  expect(bomb.length).toBeLessThan(200_000);
  expect(() => readNpz(bomb, 'bomb.npz', { totalBytes: 2 ** 20 })).toThrow('more than 1048576 bytes when inflated');
});

test('and before anything is inflated: arrays that are small enough alone, the first of which cannot be', () => {
  const bomb = zipSync({ 'a.npy': new Uint8Array(2 ** 19), 'b.npy': new Uint8Array(2 ** 19 + 1) }, { level: 9 });
  // The first array's deflate stream begins behind its local header and name.
  bomb[30 + 'a.npy'.length] = 0xff;
  expect(() => readNpz(bomb, 'bomb.npz')).toThrow('not a readable .npz archive');
  expect(() => readNpz(bomb, 'bomb.npz', { totalBytes: 2 ** 20 })).toThrow('more than 1048576 bytes when inflated');
});

test('sizes that lie cost no memory: a declared size must be possible, and is never exceeded', () => {
  const zip = zipSync({ 'x.npy': npy('<f4', '64', new Uint8Array(256)) });
  const setSize = (size: number) => {
    const lying = zip.slice();
    const central = lying.findLastIndex(
      (_, i) => lying[i] === 0x50 && lying[i + 1] === 0x4b && lying[i + 2] === 1 && lying[i + 3] === 2,
    );
    new DataView(lying.buffer).setUint32(central + 24, size, true);
    return lying;
  };
  expect(() => readNpz(setSize(2 ** 31 - 1), 'lying.npz')).toThrow('which cannot be');
  expect(() => readNpz(setSize(16), 'lying.npz')).toThrow(/lying\.npz/);
  expect(readNpz(setSize(1000), 'lying.npz').get('x')!.data).toEqual(new Float32Array(64));
});

test('refuses other files, other members and cut archives', () => {
  const zip = zipSync({ 'x.npy': npy('<f4', '1', new Uint8Array(4)) });
  expect(() => readNpz(zip.subarray(0, zip.length - 30), 'cut.npz')).toThrow('cut.npz is not a readable .npz archive');
  expect(() => readNpz(strToU8('hello'), 'text')).toThrow('text is not a readable .npz archive');
  expect(() => readNpz(zipSync({ '../evil.sh': new Uint8Array(4) }), 'evil.npz')).toThrow('which is not a .npy array');
  expect(() => readNpz(zip, 'many.npz', { arrays: 0 })).toThrow('more than 0 arrays');
});

test('files: missing, too large', async () => {
  await expect(readNpzFile('/nowhere/inputs.npz')).rejects.toThrow('/nowhere/inputs.npz cannot be opened');
  const folder = mkdtempSync(join(tmpdir(), 'npz-'));
  try {
    const path = join(folder, 'x.npz');
    writeFileSync(path, readFileSync(new URL('c08_linear_bias_dynamo_small/inputs.npz', samples)));
    await expect(readNpzFile(path, { fileBytes: 100 })).rejects.toThrow('at most 100 are read');
    expect((await readNpzFile(path)).get('x')).toMatchObject({ type: 'float32' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
