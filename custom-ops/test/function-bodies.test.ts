// Each kernel against the function body of the same name: one node, one set of inputs, with the library and without.
import { encodeModel } from '@ort-dora/onnx';
import {
  type BankPlace,
  type FloatType,
  isBankForm,
  makeOperatorModel,
  type OperatorForm,
  type OperatorValue,
  operatorSignature,
} from '@ort-dora/rewriter';
import { createSession, type TensorData } from '@ort-dora/runtime';
import { describe, expect, it } from 'vitest';
import { opsLibraryPath } from '../index.js';

const [rows, inputs, outputs, rank] = [5, 70, 45, 6];
const scaling = 0.75;
// A bank of three slots; runs of one row each, two of them side by side in one slot, and one without an adapter.
const place: BankPlace = { offsetA: 3, offsetB: 3 + rank * inputs, offsetG: 1, maxRank: rank };
const [ranks, slots] = [
  [rank, 4, 1],
  [2, 0, 0, -1, 1],
];

// Two results that round differently: a few units of the type's last place, relative to the largest value.
const TOLERANCE: Readonly<Record<FloatType, number>> = { float32: 2e-6, float16: 3e-3, bfloat16: 2e-2 };
const TYPES = [
  ['float32', 'float32'],
  ['float16', 'float16'],
  ['float16', 'float32'],
  ['bfloat16', 'bfloat16'],
  ['bfloat16', 'float32'],
] as const;
const LAYOUTS = Array.from({ length: 8 }, (_, bits) => ({
  transW: bit(bits, 0),
  transA: bit(bits, 1),
  transB: bit(bits, 2),
}));

describe.skipIf(opsLibraryPath() === undefined)('kernel and function body agree', () => {
  for (const [base, adapter] of TYPES) {
    for (const layout of LAYOUTS) {
      for (const bias of [false, true]) {
        const form: OperatorForm = { op: 'DoraLinear', base, adapter, bias, ...layout };
        it(`DoraLinear ${base} ${adapter} ${JSON.stringify(layout)} bias ${bias}`, () => compare(form, base));
      }
      const magnitude = base;
      const form: OperatorForm = { op: 'DoraScale', weight: base, adapter, magnitude, ...layout };
      it(`DoraScale ${base} ${adapter} ${JSON.stringify(layout)}`, () => compare(form, base));
    }
    for (const bias of ['none', 'separate', 'inBase'] as const) {
      for (const channels of [{ axis: -1 }, { axis: 1, rank: 4 }] as const) {
        const form: OperatorForm = { op: 'DoraCompose', base, lora: adapter, bias, channels };
        it(`DoraCompose ${base} ${adapter} bias ${bias} axis ${channels.axis}`, () => compare(form, base));
      }
    }
    it(`DoraComposeGrad ${base} ${adapter}`, () => compare({ op: 'DoraComposeGrad', base, lora: adapter }, base));
    for (const bias of [false, true]) {
      const form: OperatorForm = { op: 'DoraLinearBank', base, adapter, transW: bias ? 1 : 0, bias };
      it(`DoraLinearBank ${base} ${adapter} bias ${bias}`, () => compare(form, base));
    }
    for (const bias of ['none', 'separate', 'inBase'] as const) {
      const form: OperatorForm = { op: 'DoraComposeBank', base, adapter, bias };
      it(`DoraComposeBank ${base} ${adapter} bias ${bias}`, () => compare(form, base));
    }
  }
});

async function compare(form: OperatorForm, type: FloatType): Promise<void> {
  const model = encodeModel(
    makeOperatorModel(form, { opset: 18, target: 'cpu', ...(isBankForm(form) ? { place } : { scaling }) }),
  );
  const feeds = Object.fromEntries(
    operatorSignature(form).inputs.map((input, i) => [input.name, feed(form, input, i)]),
  );
  const [kernel, body] = await Promise.all(
    ([[opsLibraryPath()!], 'off'] as const).map(async (customOps) => {
      const session = await createSession(model, { customOps });
      try {
        return await session.run(feeds);
      } finally {
        await session.dispose();
      }
    }),
  );
  for (const { name } of operatorSignature(form).outputs) {
    const [got, expected] = [kernel![name], body![name]].map((value) => value as TensorData);
    expect(got!.type).toBe(expected!.type);
    expect(got!.dims).toEqual(expected!.dims);
    const [a, b] = [numbers(got!), numbers(expected!)];
    const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const distance = a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
    expect(largest).toBeGreaterThan(0);
    expect(distance / largest, name).toBeLessThan(TOLERANCE[type]);
  }
}

/** Values that vary by input and position, of the shape that the form gives the input. */
function feed(form: OperatorForm, input: OperatorValue, seed: number): TensorData {
  if (input.type === 'int32') {
    const values = input.name === 'rank' ? ranks : slots;
    return { type: 'int32', data: Int32Array.from(values), dims: [values.length] };
  }
  const dims = shape(form, input.name);
  const around = ['g', 'm', 'gains', 'scaling'].includes(input.name) ? 1 : 0;
  const values = Float32Array.from({ length: dims.reduce((count, dim) => count * dim, 1) }, (_, i) => {
    return around + 0.3 * Math.sin(1.7 * i + 12.9 * seed + 0.3 * i * seed);
  });
  if (input.name === 'bank') clearBeyondRanks(values);
  return { type: input.type, data: stored(values, input.type), dims };
}

function shape(form: OperatorForm, name: string): readonly number[] {
  const turned = (flag: 0 | 1, dims: [number, number]) => (flag === 1 ? dims.reverse() : dims);
  switch (name) {
    case 'x':
      return [rows, inputs];
    case 'W':
      return turned('transW' in form ? form.transW : 0, [outputs, inputs]);
    case 'A':
      return turned('transA' in form ? form.transA : 0, [rank, inputs]);
    case 'B':
      return turned('transB' in form ? form.transB : 0, [outputs, rank]);
    case 'base':
    case 'lora':
    case 'dy':
      return form.op === 'DoraCompose' && form.channels.axis === 1 ? [2, outputs, 3, rows] : [rows, outputs];
    case 'bank':
      return [ranks.length, rowElements];
    case 'gains':
      return [ranks.length, place.offsetG + outputs];
    case 'scaling':
      return [ranks.length];
    default:
      return [outputs];
  }
}

const rowElements = place.offsetB + outputs * rank;

/** A and B of a bank are zero beyond the rank of the adapter: kernels stop there, bodies do not. */
function clearBeyondRanks(bank: Float32Array): void {
  for (const [slot, used] of ranks.entries()) {
    const row = bank.subarray(slot * rowElements, (slot + 1) * rowElements);
    row.fill(0, place.offsetA + used * inputs, place.offsetB);
    for (let at = place.offsetB; at < rowElements; at += rank) row.fill(0, at + used, at + rank);
  }
}

function bit(bits: number, index: number): 0 | 1 {
  return ((bits >> index) & 1) as 0 | 1;
}

function stored(values: Float32Array, type: FloatType): Float32Array | Uint16Array {
  if (type === 'float32') return values;
  return Uint16Array.from(values, type === 'float16' ? toFloat16 : toBfloat16);
}

function numbers({ type, data }: TensorData): number[] {
  if (type === 'float32') return Array.from(data as Float32Array);
  return Array.from(data as Uint16Array, type === 'float16' ? fromFloat16 : fromBfloat16);
}

const word = new DataView(new ArrayBuffer(4));

function toBfloat16(value: number): number {
  word.setFloat32(0, value);
  return word.getUint16(0);
}

function fromBfloat16(bits: number): number {
  word.setUint32(0, bits * 65536);
  return word.getFloat32(0);
}

/** Of the values used here: normal, below 2, cut to the type's eleven bits. */
function toFloat16(value: number): number {
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** -14) return 0;
  const exponent = Math.floor(Math.log2(magnitude));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | Math.floor((magnitude / 2 ** exponent - 1) * 1024);
}

function fromFloat16(bits: number): number {
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  const magnitude = exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}
