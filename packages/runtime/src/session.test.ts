import { afterAll, describe, expect, test } from 'vitest';
import { increment, sumAndProduct } from '../test/support/models.js';
import { createSession, NativeTensor, type TensorData } from './index.js';

function float32(values: readonly number[], dims: readonly number[] = [values.length]): TensorData<'float32'> {
  return { type: 'float32', data: Float32Array.from(values), dims };
}

describe('a session', async () => {
  const session = await createSession(sumAndProduct());
  afterAll(() => session.dispose());
  const feeds = { a: float32([1, 2, 3, 4], [1, 4]), b: float32([5, 6, 7, 8], [1, 4]) };

  test('says what goes in and out', () => {
    const value = { isTensor: true, type: 'float32', shape: ['m', 4] };
    expect(session.inputs).toEqual([
      { name: 'a', ...value },
      { name: 'b', ...value },
    ]);
    expect(session.outputs).toEqual([
      { name: 'sum', ...value },
      { name: 'prod', ...value },
    ]);
  });

  test.each(['run', 'runSync'] as const)('%s computes every output', async (method) => {
    expect(await session[method](feeds)).toEqual({
      sum: float32([6, 8, 10, 12], [1, 4]),
      prod: float32([5, 12, 21, 32], [1, 4]),
    });
  });

  test.each(['run', 'runSync'] as const)('%s computes the outputs asked for by name', async (method) => {
    expect(await session[method](feeds, { fetches: ['prod'] })).toEqual({ prod: float32([5, 12, 21, 32], [1, 4]) });
  });

  test.each(['run', 'runSync'] as const)('%s writes into a tensor given', async (method) => {
    const mine = float32([0, 0, 0, 0], [1, 4]);
    const { sum, prod } = await session[method](feeds, { fetches: { sum: mine } });
    expect(sum?.data).toBe(mine.data);
    expect(mine.data).toEqual(Float32Array.of(6, 8, 10, 12));
    expect(prod).toBeUndefined();
  });

  test('many runs at once do not mix', async () => {
    const runs = Array.from({ length: 200 }, (_, i) => session.run({ ...feeds, b: float32([i, i, i, i], [1, 4]) }));
    const results = await Promise.all(runs);
    results.forEach(({ sum }, i) => {
      expect(sum?.data).toEqual(Float32Array.of(1 + i, 2 + i, 3 + i, 4 + i));
    });
  });

  test('an empty tensor goes through', async () => {
    const { sum } = await session.run({ a: float32([], [0, 4]), b: float32([], [0, 4]) });
    expect(sum).toEqual(float32([], [0, 4]));
  });
});

describe('a native tensor', async () => {
  const session = await createSession(increment());
  afterAll(() => session.dispose());

  test('is an output of one run and an input of the next', async () => {
    let state = NativeTensor.from(float32([0, 10]));
    for (let i = 0; i < 5; i++) {
      const { y } = await session.run({ x: state }, { fetches: { y: 'native' } });
      state.dispose();
      state = y as NativeTensor;
    }
    expect(state).toMatchObject({ type: 'float32', dims: [2], device: 'cpu', disposed: false });
    expect(state.data()).toEqual(Float32Array.of(5, 15));
  });

  test('is a copy of the data it is made from', () => {
    const source = float32([1, 2]);
    const tensor = NativeTensor.from(source);
    source.data[0] = 9;
    expect(tensor.data()).toEqual(Float32Array.of(1, 2));
  });

  test('is written into by a run that fetches into it', async () => {
    const target = NativeTensor.from(float32([0, 0]));
    const { y } = await session.run({ x: float32([1, 2]) }, { fetches: { y: target } });
    expect((y as NativeTensor).data()).toEqual(Float32Array.of(2, 3));
    expect(target.data()).toEqual(Float32Array.of(2, 3));
  });

  test('gives views of one memory, which outlive it', () => {
    const tensor = NativeTensor.from(float32([1, 2]));
    const view = tensor.data() as Float32Array;
    view[0] = 7;
    expect(tensor.data()).toEqual(Float32Array.of(7, 2));
    tensor.dispose();
    tensor.dispose();
    expect(view).toEqual(Float32Array.of(7, 2));
    expect(() => tensor.data()).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
  });
});
