import { describe, expect, test } from 'vitest';
import { NativeTensor, type TensorData } from './index.js';

function float32(values: readonly number[], dims: readonly number[] = [values.length]): TensorData<'float32'> {
  return { type: 'float32', data: Float32Array.from(values), dims };
}

const refused = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

test('memory is allocated as zeros', () => {
  const tensor = NativeTensor.allocate('bfloat16', [2, 3]);
  expect(tensor).toMatchObject({ type: 'bfloat16', dims: [2, 3], device: 'cpu' });
  expect(tensor.data()).toEqual(new Uint16Array(6));
});

test.each([
  ['string', [1], 'cpu', 'INVALID_ARGUMENT', /type: expected a numeric element type, got 'string'/],
  ['float8', [1], 'cpu', 'INVALID_ARGUMENT', /type: expected a numeric element type/],
  ['float32', [-1], 'cpu', 'INVALID_ARGUMENT', /'dims': dims must be non-negative integers/],
  ['float32', [2 ** 40, 2 ** 40], 'cpu', 'INVALID_ARGUMENT', /dims are too large/],
  ['float32', 3, 'cpu', 'INVALID_ARGUMENT', /'dims': dims must be an array/],
  ['float32', [1], 'gpu', 'INVALID_ARGUMENT', /device: expected 'cpu', 'cpu-pinned' or 'cuda:N', got 'gpu'/],
] as const)('of %s %o on %s is refused', (type, dims, device, code, message) => {
  expect(() => NativeTensor.allocate(type as never, dims as never, { device })).toThrow(refused(code, message));
});

test('a copy goes both ways, between types of source', async () => {
  const tensor = NativeTensor.allocate('float32', [4]);
  await tensor.copyFrom(float32([1, 2, 3, 4], [2, 2]));
  expect(await tensor.read()).toEqual(Float32Array.of(1, 2, 3, 4));
  tensor.copyFromSync(NativeTensor.from(float32([5, 6, 7, 8])));
  const mine = tensor.readSync() as Float32Array;
  mine[0] = 0;
  expect(tensor.data()).toEqual(Float32Array.of(5, 6, 7, 8));
});

test('a large copy off the event loop keeps its source', async () => {
  const tensor = NativeTensor.allocate('int32', [1 << 20]);
  const copied = tensor.copyFrom({ type: 'int32', data: new Int32Array(1 << 20).fill(7), dims: [1 << 20] });
  globalThis.gc?.();
  await copied;
  expect((tensor.data() as Int32Array).every((value) => value === 7)).toBe(true);
});

test.each([
  ['of another type', { type: 'int32', data: new Int32Array(4), dims: [4] }, /element type is not this tensor's/],
  ['of another size', float32([1, 2]), /it has 2 elements, this tensor 4/],
  ['whose data does not fit its dims', { ...float32([1, 2]), dims: [4] }, /data has 8 bytes, dims need 16/],
  ['that is null', null, /source: expected \{ type, data, dims \}/],
] as const)('a source %s is refused', async (_, source, message) => {
  const tensor = NativeTensor.allocate('float32', [4]);
  expect(() => tensor.copyFromSync(source as never)).toThrow(refused('INVALID_ARGUMENT', message));
  await expect(tensor.copyFrom(source as never)).rejects.toThrow(refused('INVALID_ARGUMENT', message));
});

describe('a view', () => {
  test('of rows shares the memory and outlives the tensor', () => {
    const tensor = NativeTensor.from(float32([1, 2, 3, 4, 5, 6], [3, 2]));
    const rows = tensor.slice(1, 2);
    expect(rows).toMatchObject({ type: 'float32', dims: [1, 2], device: 'cpu' });
    rows.copyFromSync(float32([7, 8]));
    expect(tensor.data()).toEqual(Float32Array.of(1, 2, 7, 8, 5, 6));
    tensor.dispose();
    expect(rows.readSync()).toEqual(Float32Array.of(7, 8));
    expect(rows.slice(0, 0).readSync()).toEqual(new Float32Array(0));
  });

  test('under other dims shares it too', () => {
    const tensor = NativeTensor.from(float32([1, 2, 3, 4], [2, 2]));
    tensor.reshape([4]).copyFromSync(float32([4, 3, 2, 1]));
    expect(tensor.data()).toEqual(Float32Array.of(4, 3, 2, 1));
  });

  test('of 4-bit elements begins at a byte', () => {
    const tensor = NativeTensor.from({ type: 'uint4', data: Uint8Array.of(1, 2, 3), dims: [6] });
    expect(tensor.slice(2, 6).readSync()).toEqual(Uint8Array.of(2, 3));
    expect(() => tensor.slice(1, 6)).toThrow(refused('INVALID_ARGUMENT', /start: expected a row that begins a byte/));
  });

  test('that is not inside is refused', () => {
    const tensor = NativeTensor.from(float32([1, 2, 3, 4], [2, 2]));
    expect(() => tensor.slice(0, 3)).toThrow(
      refused('INVALID_ARGUMENT', /end: expected an integer from 0 to 2, got 3/),
    );
    expect(() => tensor.slice(2, 1)).toThrow(refused('INVALID_ARGUMENT', /end: expected an integer from 2 to 2/));
    expect(() => tensor.reshape([3])).toThrow(refused('INVALID_ARGUMENT', /dims: expected dims of 4 elements/));
    expect(() => NativeTensor.from(float32([1], [])).slice(0, 1)).toThrow(refused('INVALID_ARGUMENT', /a scalar/));
    expect(() => NativeTensor.from({ type: 'string', data: ['a'], dims: [1] }).slice(0, 1)).toThrow(
      refused('NOT_SUPPORTED', /no views/),
    );
  });
});

test('nothing works on a tensor that is disposed', async () => {
  const tensor = NativeTensor.allocate('float32', [2]);
  tensor.dispose();
  for (const use of [() => tensor.slice(0, 1), () => tensor.readSync(), () => tensor.copyFromSync(float32([1, 2]))]) {
    expect(use).toThrow(refused('DISPOSED', /disposed/));
  }
  await expect(tensor.read()).rejects.toThrow(refused('DISPOSED', /disposed/));
});
