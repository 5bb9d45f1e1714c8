import { expect, test } from 'vitest';
import { fromFloat64, type TensorData } from '../tensor.js';
import { fitInputs } from './fit.js';
import type { TensorInfo } from './interface.js';

const model: TensorInfo[] = [
  { name: 'ids', type: 'int64', dims: ['batch', 2] },
  { name: 'x', type: 'float16', dims: [undefined] },
];
const given = (ids: TensorData, x: TensorData = fromFloat64('float16', [1], [1])) =>
  new Map([
    ['ids', ids],
    ['x', x],
  ]);
const fit = (arrays: ReadonlyMap<string, TensorData>) => fitInputs(model, arrays, 'in.npz');

test('types are converted where the values allow it', () => {
  const fitted = fit(given(fromFloat64('int32', [1, 2], [3, 4]), fromFloat64('float32', [1], [1.00001])));
  expect(fitted.get('ids')).toEqual({ type: 'int64', dims: [1, 2], data: BigInt64Array.of(3n, 4n) });
  expect(fitted.get('x')).toEqual({ type: 'float16', dims: [1], data: Uint16Array.of(0x3c00) });
});

test('what fits already is not copied', () => {
  const ids = fromFloat64('int64', [1, 2], [3, 4]);
  expect(fit(given(ids)).get('ids')).toBe(ids);
});

test.each([
  [given(fromFloat64('int64', [2, 1], [3, 4])), 'array "ids" has dims [2, 1]; the model takes [batch, 2]'],
  [given(fromFloat64('int64', [2], [3, 4])), 'has dims [2]'],
  [given(fromFloat64('float32', [1, 2], [3, 4])), 'array "ids" is float32; the model takes int64'],
  [new Map([['ids', fromFloat64('int64', [1, 2], [3, 4])]]), 'in.npz has no array "x"; it has "ids"'],
  [
    new Map([...given(fromFloat64('int64', [1, 2], [1, 1])), ['z', fromFloat64('int8', [1], [1])]]),
    'in.npz has "z", which the model does not take',
  ],
])('what does not fit is refused by name: %#', (arrays, message) => {
  expect(() => fit(arrays)).toThrow(message);
});

test('a number that an integer type cannot hold is refused', () => {
  const bytes: TensorInfo[] = [{ name: 'b', type: 'uint8', dims: [1] }];
  expect(() => fitInputs(bytes, new Map([['b', fromFloat64('int64', [1], [300])]]), 'in.npz')).toThrow(
    'holds 300, which is no uint8',
  );
});
