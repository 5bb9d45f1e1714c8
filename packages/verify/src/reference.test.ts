import { expect, test } from 'vitest';
import { randomStream } from './inputs/random.js';
import { type DoraParameters, doraForward, doraGain, type Matrix, matrix } from './reference.js';

const random = randomStream(1, 'reference');
const values = (count: number) => Float64Array.from({ length: count }, () => random.normal());
const transpose = (m: Matrix) => matrix(m.data, m.columns, m.rows, true);

function layer(outputs: number, inputs: number, rank: number): DoraParameters {
  return {
    weight: matrix(values(outputs * inputs), outputs, inputs, false),
    loraA: matrix(values(rank * inputs), rank, inputs, false),
    loraB: matrix(values(outputs * rank), outputs, rank, false),
    magnitude: values(outputs),
    bias: values(outputs),
    scaling: 0.75,
  };
}

/** PEFT's own order of operations: y0 + (g−1)·(y0−b) + g·lora·s, over the dense weight. */
function peft(parameters: DoraParameters, x: Matrix): number[] {
  const { weight, loraA, loraB, magnitude, bias, scaling } = parameters;
  const at = (m: Matrix, row: number, column: number) => m.data[row * m.columns + column]!;
  const y: number[] = [];
  for (let t = 0; t < x.rows; t++) {
    for (let o = 0; o < weight.rows; o++) {
      let squares = 0;
      let base = 0;
      let lora = 0;
      for (let i = 0; i < weight.columns; i++) {
        let delta = 0;
        for (let k = 0; k < loraA.rows; k++) delta += at(loraB, o, k) * at(loraA, k, i);
        squares += (at(weight, o, i) + scaling * delta) ** 2;
        base += at(weight, o, i) * at(x, t, i);
        lora += delta * at(x, t, i);
      }
      const g = magnitude[o]! / Math.sqrt(squares);
      y.push(base + bias![o]! + (g - 1) * base + g * lora * scaling);
    }
  }
  return y;
}

test('equals what PEFT computes, to float64', () => {
  const parameters = layer(7, 11, 3);
  const x = matrix(values(5 * 11), 5, 11, false);
  const y = doraForward(parameters, doraGain(parameters), x);
  const expected = peft(parameters, x);
  expect([y.rows, y.columns]).toEqual([5, 7]);
  for (const [i, value] of y.data.entries()) expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-12);
});

test('continues from a given base output, as the second of two chained adapters does', () => {
  const parameters = layer(4, 6, 2);
  const gain = doraGain(parameters);
  const x = matrix(values(3 * 6), 3, 6, false);
  const own = new Float64Array(12);
  for (let t = 0; t < 3; t++) {
    for (let o = 0; o < 4; o++) {
      for (let i = 0; i < 6; i++) own[t * 4 + o]! += x.data[t * 6 + i]! * parameters.weight.data[o * 6 + i]!;
      own[t * 4 + o]! += parameters.bias![o]!;
    }
  }
  const direct = doraForward(parameters, gain, x);
  const continued = doraForward(parameters, gain, x, { values: matrix(own, 3, 4, false), isAdapted: true });
  for (const [i, value] of continued.data.entries()) expect(value).toBeCloseTo(direct.data[i]!, 12);
});

test('adds its change of x·Wᵀ to a given result, as PEFT before 0.14 does', () => {
  const parameters = layer(4, 6, 2);
  const gain = doraGain(parameters);
  const x = matrix(values(3 * 6), 3, 6, false);
  const before = values(12);
  const added = doraForward(parameters, gain, x, { values: matrix(before, 3, 4, false), isAdapted: false });
  const { bias: _, ...withoutBias } = parameters;
  const own = doraForward(withoutBias, gain, x);
  for (let t = 0; t < 3; t++) {
    for (let o = 0; o < 4; o++) {
      let product = 0;
      for (let i = 0; i < 6; i++) product += x.data[t * 6 + i]! * parameters.weight.data[o * 6 + i]!;
      const at = t * 4 + o;
      expect(added.data[at]).toBeCloseTo(before[at]! + own.data[at]! - product, 12);
    }
  }
});

test('a rank of 0 leaves the base layer, scaled by its magnitude', () => {
  const parameters = layer(3, 4, 0);
  const gain = doraGain(parameters);
  for (let o = 0; o < 3; o++) {
    const norm = Math.hypot(...parameters.weight.data.subarray(o * 4, o * 4 + 4));
    expect(gain[o]).toBeCloseTo(parameters.magnitude[o]! / norm, 14);
  }
});

test('a zero row has no norm: m / 0, as in PEFT', () => {
  const parameters = {
    ...layer(2, 3, 0),
    weight: matrix(new Float64Array(6), 2, 3, false),
    magnitude: Float64Array.of(1, 0),
  };
  expect([...doraGain(parameters)]).toEqual([Number.POSITIVE_INFINITY, Number.NaN]);
});

test('a matrix stored transposed is turned', () => {
  const m = matrix(Float64Array.of(1, 2, 3, 4, 5, 6), 2, 3, true);
  expect([...m.data]).toEqual([1, 3, 5, 2, 4, 6]);
  expect([...transpose(m).data]).toEqual([1, 2, 3, 4, 5, 6]);
  expect(() => matrix(new Float64Array(5), 2, 3, false)).toThrow(RangeError);
});
