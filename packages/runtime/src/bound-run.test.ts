import { afterAll, describe, expect, test } from 'vitest';
import { slow, sumAndProduct } from '../test/support/models.js';
import { createSession, NativeTensor, type TensorData } from './index.js';

function float32(values: readonly number[], dims: readonly number[] = [1, 4]): TensorData<'float32'> {
  return { type: 'float32', data: Float32Array.from(values), dims };
}

const refused = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe('a bound run', async () => {
  const session = await createSession(sumAndProduct(), { logSeverityLevel: 4 });
  afterAll(() => session.dispose());
  const a = NativeTensor.from(float32([1, 2, 3, 4]));
  const b = NativeTensor.from(float32([5, 6, 7, 8]));
  const sum = NativeTensor.allocate('float32', [1, 4]);

  test('reads and writes the same memory every time', async () => {
    const bound = session.bind({ a, b }, { sum });
    await bound.run();
    expect(sum.data()).toEqual(Float32Array.of(6, 8, 10, 12));
    a.copyFromSync(float32([0, 0, 0, 1]));
    bound.runSync();
    expect(sum.data()).toEqual(Float32Array.of(5, 6, 7, 9));
    bound.dispose();
    bound.dispose();
    expect(() => bound.runSync()).toThrow(refused('DISPOSED', /the bound run is disposed/));
    await expect(bound.run()).rejects.toThrow(refused('DISPOSED', /the bound run is disposed/));
  });

  test('keeps its tensors', () => {
    const mine = NativeTensor.from(float32([1, 1, 1, 1]));
    const bound = session.bind({ a: mine, b: mine }, { sum });
    mine.dispose();
    bound.runSync();
    expect(sum.data()).toEqual(Float32Array.of(2, 2, 2, 2));
    bound.dispose();
  });

  test.each([
    ['an input that is missing', { a }, { sum }, /input 'b' is missing/],
    ['an input that is data', { a, b: float32([1, 2, 3, 4]) }, { sum }, /input 'b': expected a NativeTensor/],
    [
      'an input of another shape',
      { a, b: NativeTensor.allocate('float32', [4]) },
      { sum },
      /input 'b': expected float32 \[m, 4\]/,
    ],
    ['an unknown output', { a, b }, { total: sum }, /no output 'total'/],
    ['an output that is asked for as data', { a, b }, { sum: true }, /output 'sum': expected a NativeTensor/],
    ['no output', { a, b }, {}, /fetches: expected at least one output/],
  ])('is not made with %s', (_, feeds, fetches, message) => {
    expect(() => session.bind(feeds as never, fetches as never)).toThrow(refused('INVALID_ARGUMENT', message));
  });

  test('has no CUDA graph on the CPU', () => {
    expect(() => session.bind({ a, b }, { sum }, { graph: true })).toThrow(
      refused('INVALID_ARGUMENT', /graph: the session was made without CUDA graphs; .*graphs: true/),
    );
  });

  test('writes into no output of another shape', async () => {
    const bound = session.bind({ a, b }, { sum: NativeTensor.allocate('float32', [2, 4]) });
    await expect(bound.run()).rejects.toThrow(refused('INVALID_ARGUMENT', /shape/i));
  });
});

test('a bound run can be aborted, one at a time, and outlives its session', async () => {
  const session = await createSession(slow(200), { intraOpNumThreads: 1 });
  const x = NativeTensor.from(float32([0], [1]));
  const y = NativeTensor.allocate('float32', []);
  const bound = session.bind({ x }, { y });
  const aborted = bound.run({ signal: AbortSignal.timeout(50) });
  await expect(bound.run()).rejects.toThrow(refused('INVALID_ARGUMENT', /in flight/));
  expect(() => bound.runSync()).toThrow(refused('INVALID_ARGUMENT', /in flight/));
  await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' });
  await session.dispose();
  expect(() => session.bind({ x }, { y })).toThrow(refused('DISPOSED', /disposed/));
  const again = bound.run({ signal: AbortSignal.timeout(50) });
  await expect(again).rejects.toMatchObject({ name: 'TimeoutError' });
  bound.dispose();
});
