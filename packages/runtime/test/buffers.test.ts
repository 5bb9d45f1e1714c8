// Which memory is used in place, and that every element type keeps its bits.
import { describe, expect, test } from 'vitest';
import {
  createSession,
  ELEMENT_TYPES,
  type ElementType,
  NativeTensor,
  type TensorData,
  typedArrayClass,
} from '../src/index.js';
import { identities, increment, sequence } from './support/models.js';

const NUMERIC = Object.keys(ELEMENT_TYPES).filter((type) => !/string|int4/.test(type)) as Exclude<
  ElementType,
  'string'
>[];

describe.each(['run', 'runSync'] as const)('%s', (method) => {
  test.each([0, 1, 40_000])('keeps the bits of every type, %d elements at an offset', async (count) => {
    const session = await createSession(identities(NUMERIC));
    const feeds: Record<string, TensorData> = {};
    for (const type of NUMERIC) {
      const Class = typedArrayClass(type);
      const data = new Class(
        new ArrayBuffer((count + 3) * Class.BYTES_PER_ELEMENT),
        3 * Class.BYTES_PER_ELEMENT,
        count,
      );
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      for (let i = 0; i < bytes.length; i++) bytes[i] = type === 'bool' ? i % 2 : (i * 37) % 120;
      feeds[type] = { type, data, dims: [count] };
    }
    const results = await session[method](feeds);
    for (const type of NUMERIC) {
      const { data, ...rest } = results[`out_${type}`]!;
      expect(rest).toEqual({ type, dims: [count] });
      expect(data.constructor).toBe(feeds[type]!.data.constructor);
      // The matcher for arrays takes a second for these.
      expect(Buffer.compare(bytesOf(data), bytesOf(feeds[type]!.data))).toBe(0);
    }
    await session.dispose();
  });

  test('keeps strings', async () => {
    const session = await createSession(identities(['string']));
    const string: TensorData = { type: 'string', data: ['a', '', 'größer', '漢字', '🐟'], dims: [5] };
    expect((await session[method]({ string })).out_string).toEqual(string);
    const native = NativeTensor.from(string);
    expect((await session[method]({ string: native })).out_string?.data).toEqual(string.data);
    expect(native.data()).toEqual(string.data);
    await session.dispose();
  });

  test('takes clamped and shared memory', async () => {
    const session = await createSession(identities(['uint8', 'float32']));
    const shared = new Float32Array(new SharedArrayBuffer(80_000)).fill(3);
    const results = await session[method]({
      uint8: { type: 'uint8', data: new Uint8ClampedArray(20_000).fill(300), dims: [20_000] },
      float32: { type: 'float32', data: shared, dims: [20_000] },
    });
    expect(results.out_uint8?.data[0]).toBe(255);
    expect(results.out_float32?.data[19_999]).toBe(3);
    await session.dispose();
  });
});

describe('large buffers', () => {
  const megabytes = 64;
  const count = (megabytes << 20) / 4;

  test('are not copied on the way in or out', async () => {
    const session = await createSession(increment(), { enableCpuMemArena: false });
    const data = new Float32Array(count);
    const rss = () => process.memoryUsage.rss() / 2 ** 20;
    await session.run({ x: { type: 'float32', data: new Float32Array(4), dims: [4] } });
    data.fill(1);
    const before = rss();
    const { y } = await session.run({ x: { type: 'float32', data, dims: [count] } });
    const grown = rss() - before;
    expect(y!.data[count - 1]).toBe(2);
    // The output itself, and not a second copy of it or of the input.
    expect(grown).toBeLessThan(megabytes * 1.5);
    await session.dispose();
  });

  test('of an output outlive the session', async () => {
    const session = await createSession(increment());
    const { y } = await session.run({ x: { type: 'float32', data: new Float32Array(100_000), dims: [100_000] } });
    await session.dispose();
    expect(y!.data.length).toBe(100_000);
    expect((y!.data as Float32Array).every((value) => value === 1)).toBe(true);
  });

  test('of an output may go to another thread', async () => {
    const session = await createSession(increment());
    const { y } = await session.run({ x: { type: 'float32', data: new Float32Array(100_000), dims: [100_000] } });
    const clone = structuredClone(y!.data as Float32Array);
    expect(clone).toEqual(y!.data);
    await session.dispose();
  });

  test('of native tensors that nobody disposes are collected, because V8 knows of them', async () => {
    const data = new Float32Array(2 << 20);
    const rss = () => process.memoryUsage.rss() / 2 ** 20;
    const before = rss();
    let peak = 0;
    for (let i = 0; i < 400; i++) {
      NativeTensor.from({ type: 'float32', data, dims: [data.length] });
      await new Promise((resolve) => setImmediate(resolve));
      peak = Math.max(peak, rss());
    }
    // 3200 MB in all.
    expect(peak - before).toBeLessThan(1000);
  });
});

test('an output that is not a tensor is refused by name', async () => {
  const session = await createSession(sequence());
  const x: TensorData = { type: 'float32', data: Float32Array.of(1), dims: [1] };
  await expect(session.run({ x })).rejects.toMatchObject({
    code: 'NOT_SUPPORTED',
    message: /output 'y' is not a tensor/,
  });
  await expect(session.run({ x }, { fetches: { y: 'native' } })).rejects.toMatchObject({ code: 'NOT_SUPPORTED' });
  await session.dispose();
});

function bytesOf(data: TensorData['data']): Buffer {
  const { buffer, byteOffset, byteLength } = data as Uint8Array;
  return Buffer.from(buffer, byteOffset, byteLength);
}
