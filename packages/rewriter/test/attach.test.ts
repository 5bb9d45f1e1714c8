/** Adapters attached to base exports, against PEFT: `fixtures/attach/export.py` made both. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openAdapter } from '@ort-dora/adapters';
import { DataType, decodeModel } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AttachOptions, attachAdapter, readProvenance } from '../src/index.js';
import { type NpyArray, readNpz, toNumbers } from './support/npz.js';
import { relativeError, toFloat16Bits } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { overFloat32 } from './support/over-float32.js';
import { numbersOf } from './support/tensors.js';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'fixtures/attach');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'attach-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function attach(base: string, adapter: string, options: AttachOptions = {}) {
  await using opened = await openAdapter(join(FOLDER, 'adapters', adapter));
  const output = join(folder, 'out.onnx');
  const input = join(FOLDER, 'bases', `${base}.onnx`);
  const [report] = await attachAdapter([{ input, output }], opened, { target: 'cpu', ...options });
  return { output, report: report!, config: opened.config.text, paths: [...opened.modules.keys()] };
}

describe.each([
  ['legacy', 'dora', 'DoraLinear'],
  ['legacy_rows', 'dora', 'DoraLinear'],
  ['legacy_float16', 'dora', 'DoraLinear'],
  ['dynamo', 'dora', 'DoraLinear'],
  ['dynamo_rows', 'dora', 'DoraLinear'],
  ['dynamo_float16', 'dora', 'DoraLinear'],
  ['legacy', 'pattern', 'DoraLinear'],
  ['dynamo', 'pattern', 'DoraLinear'],
  ['legacy', 'lora', 'DoraLinear'],
  ['dynamo_float16', 'lora', 'DoraLinear'],
  ['legacy_tied', 'head', 'DoraLinear'],
  ['dynamo_tied', 'head', 'DoraLinear'],
  ['legacy_tied', 'embedding', undefined],
  ['dynamo_tied', 'embedding', undefined],
  ['legacy_conv', 'conv', 'DoraCompose'],
  ['dynamo_conv', 'conv', 'DoraCompose'],
  ['legacy_conv1d', 'conv1d', 'DoraLinear'],
  ['dynamo_conv1d', 'conv1d', 'DoraLinear'],
  ['legacy_nbits4', 'dora', 'DoraCompose'],
  ['dynamo_nbits8', 'dora', 'DoraCompose'],
  ['dynamo_qdq4', 'dora', 'DoraCompose'],
  ['legacy_qdq8', 'dora', 'DoraCompose'],
  ['dynamo_rows_qdq8', 'dora', 'DoraCompose'],
  ['dynamo_float16_qdq8', 'dora', 'DoraCompose'],
  ['dynamo_float8', 'dora', 'DoraCompose'],
] as const)('%s with the adapter %s', (base, adapter, operator) => {
  it.each(['linear', 'compose'] as const)('is what PEFT computes, --form %s', async (form) => {
    const { output, report, config, paths } = await attach(base, adapter, { form });
    expect(report.modules.map(({ path }) => path).sort()).toEqual(paths);
    const operators = new Set(report.modules.map((module) => (module.status === 'fused' ? module.operator : '')));
    if (form === 'compose') expect([...operators]).toEqual(['DoraCompose']);
    else if (operator !== undefined) expect([...operators]).toEqual([operator]);

    const model = decodeModel(new Uint8Array(readFileSync(output)));
    const { modules, adapterConfig } = readProvenance(model)!;
    expect([...modules.values()].sort()).toEqual(paths);
    expect(adapterConfig).toBe(config);
    expect(model.graph!.node.filter(({ domain }) => domain === 'ort.dora').map(({ name }) => name)).toEqual([
      ...modules.keys(),
    ]);

    const arrays = readNpz(join(FOLDER, `${base}+${adapter}.npz`));
    const reference = toNumbers(arrays.get('y')!);
    const elementType = model.graph!.input[0]!.type!.tensorType!.elemType!;
    const { y } = await runModel(output, { x: feed(arrays.get('x')!, elementType) }, EXACT_PRODUCTS);
    const rounding = model.graph!.output[0]!.type!.tensorType!.elemType === DataType.FLOAT16 ? 2 ** -11 : 2 ** -24;
    const own = relativeError(toNumbers(arrays.get('peft')!), reference);
    expect(relativeError(numbersOf(y!), reference)).toBeLessThanOrEqual(2 * own + rounding);
  });
});

it('all files of a folder that hold the modules get the adapter, whatever their types', async () => {
  await using adapter = await openAdapter(join(FOLDER, 'adapters', 'dora'));
  const names = ['legacy', 'legacy_float16', 'legacy_nbits4', 'dynamo_conv'];
  const files = names.map((name) => ({
    input: join(FOLDER, 'bases', `${name}.onnx`),
    output: join(folder, `${name}.onnx`),
  }));
  const reports = await attachAdapter(files, adapter, { target: 'cpu' });
  expect(reports.map(({ modules }) => modules.length)).toEqual([8, 8, 8, 0]);
  const other = readFileSync(files[3]!.output);
  expect(other.equals(readFileSync(files[3]!.input))).toBe(true);
});

it('a bfloat16 layer with a float32 adapter, whose body goes through float32 on a CPU', async () => {
  const { output, report } = await attach('legacy_bfloat16', 'single');
  expect(report.modules).toMatchObject([
    { operator: 'DoraLinear', overload: 'bfloat16_float32_w0a0b0_bias_via_float32', bias: true },
  ]);
  const arrays = readNpz(join(FOLDER, 'legacy_bfloat16+single.npz'));
  const model = overFloat32(decodeModel(new Uint8Array(readFileSync(output))));
  const { y } = await runModel(model, { x: feed(arrays.get('x')!, DataType.FLOAT) });
  const reference = toNumbers(arrays.get('y')!);
  const own = relativeError(toNumbers(arrays.get('peft')!), reference);
  expect(relativeError(numbersOf(y!), reference)).toBeLessThanOrEqual(2 * own + 2 ** -8);
});

/** Without it, ONNX Runtime multiplies dequantized weights with activations that it quantizes too. */
const EXACT_PRODUCTS = { extra: { session: { qdq_matmulnbits_accuracy_level: '1' } } };

/** The recorded input, which is rounded to the model's type already. */
function feed(array: NpyArray, elementType: number): ort.Tensor {
  const { dims, data, descr } = array;
  if (descr === '<i8') return new ort.Tensor('int64', new BigInt64Array(new Uint8Array(data).buffer), dims);
  const values = toNumbers(array);
  return elementType === DataType.FLOAT16
    ? new ort.Tensor('float16', Uint16Array.from(values, toFloat16Bits), dims)
    : new ort.Tensor('float32', Float32Array.from(values), dims);
}

describe.each([
  ['legacy_dynamic', 'MatMulInteger'],
  ['dynamo_static', 'DequantizeLinear'],
])('%s, whose activations are quantized too', (base, quantizedBy) => {
  it("is PEFT's operations on the same base", async () => {
    const reference = await attach(base, 'dora', { form: 'reference' });
    const x = toNumbers(readNpz(join(FOLDER, 'legacy+dora.npz')).get('x')!);
    const feeds = { x: new ort.Tensor('float32', Float32Array.from(x), [2, 3, 16]) };
    const expected = numbersOf((await runModel(reference.output, feeds)).y!);
    const { output, report } = await attach(base, 'dora');
    expect(report.modules).toHaveLength(8);
    for (const module of report.modules) {
      expect(module).toMatchObject({ operator: 'DoraCompose', form: { base: quantizedBy } });
    }
    // One step of an activation's quantization, where both round to different sides.
    expect(relativeError(numbersOf((await runModel(output, feeds)).y!), expected)).toBeLessThan(2 ** -7);
    const unadapted = await runModel(join(FOLDER, 'bases', `${base}.onnx`), feeds);
    expect(relativeError(numbersOf(unadapted.y!), expected)).toBeGreaterThan(2 ** -3);
  });
});
