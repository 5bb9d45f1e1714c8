/** Forms of PEFT exports beside the samples: `exports/export.py` made them. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DataType, decodeModel, type ModelProto } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { readNpz, toNumbers } from './support/npz.js';
import { relativeError, toFloat16Bits } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { overFloat32 } from './support/over-float32.js';
import { rewritten } from './support/rewrite.js';
import { numbersOf } from './support/tensors.js';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'exports');

const linear = (more: object) => ({
  operator: 'DoraLinear',
  scale: 'stored',
  path: 'q_proj',
  adapter: 'default',
  rank: 4,
  ...more,
});
const second = (more: object) => ({
  operator: 'DoraCompose',
  path: 'q_proj',
  adapter: 'second',
  rank: 2,
  scaling: 0.5,
  ...more,
});
const full = (delta: string, base: string) => ({ norm: 'full', delta, base });

describe.each([
  ['legacy_opset11', [linear({ scaling: 2, overload: 'float32_w0a0b0_bias_scaling_2' })]],
  ['legacy_opset12_rslora', [linear({ scaling: 4, overload: 'float32_w0a0b0_bias' })]],
  ['legacy_opset13_gemm', [linear({ form: full('eyeLike', 'Gemm+bias') })]],
  ['legacy_opset18_scaling1', [linear({ scaling: 1 })]],
  ['legacy_float16', [linear({ dtypes: { weight: 'float16', adapter: 'float16', magnitude: 'float16' } })]],
  ['legacy_bfloat16', [linear({ overload: 'bfloat16_w0a0b0_bias_via_float32' })]],
  [
    'legacy_mixed_two_adapters',
    // The sum of both stays in float32 until the end, so neither may be rounded to the layer's float16 on the way.
    [
      linear({ operator: 'DoraCompose', overload: 'float32_bias_in_base' }),
      second({ overload: 'float32_bias_in_base' }),
    ],
  ],
  ['legacy_two_adapters_bias', [linear({ bias: true }), second({ bias: true, form: full('eyeLike', 'adapted') })]],
  ['dynamo_unoptimized', [linear({ form: full('equalEye', 'MatMul+Add') })]],
  ['dynamo_unoptimized_gemm_nobias', [linear({ form: full('equalEye', 'Gemm'), bias: false })]],
  ['dynamo_unoptimized_mixed', [linear({ overload: 'float16_float32_w0a0b0_bias' })]],
  ['dynamo_unoptimized_mixed_two_adapters', [linear({ operator: 'DoraCompose' }), second({})]],
  ['dynamo_unoptimized_zero_bias', [linear({ bias: false })]],
])('%s', (name, expected) => {
  it.each(['stored', 'runtime'] as const)('is fused and right, scale %s', async (scale) => {
    const model = decodeModel(new Uint8Array(readFileSync(join(FOLDER, `${name}.onnx`))));
    const { model: result, report } = await rewritten(model, { target: 'cpu', scale });
    expect(report.modules).toMatchObject(expected.map((module) => ({ status: 'fused', ...module, scale })));

    const arrays = readNpz(join(FOLDER, `${name}.npz`));
    const reference = toNumbers(arrays.get('y')!);
    const { dims } = arrays.get('x')!;
    const x = toNumbers(arrays.get('x')!);
    const isBfloat16 = model.graph!.input[0]!.type!.tensorType!.elemType === DataType.BFLOAT16;
    const isFloat16 = model.graph!.input[0]!.type!.tensorType!.elemType === DataType.FLOAT16;
    const feed = isFloat16
      ? new ort.Tensor('float16', Uint16Array.from(x, toFloat16Bits), dims)
      : new ort.Tensor('float32', Float32Array.from(x), dims);
    const run = async (graph: ModelProto) => numbersOf((await runModel(graph, { x: feed })).y!);
    if (isBfloat16) {
      // ONNX Runtime cannot run the original on a CPU.
      expect(relativeError(await run(overFloat32(result)), reference)).toBeLessThan(2 ** -8);
      return;
    }
    const rounding = isFloat16 ? 2 ** -11 : 2 ** -24;
    const original = relativeError(await run(model), reference);
    expect(relativeError(await run(result), reference)).toBeLessThanOrEqual(2 * original + rounding);
  });
});
