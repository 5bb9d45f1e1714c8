/** DoRA exports whose base weight is quantized: the base stays, the norm uses what the weight stands for. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DataType, decodeModel, inlineBytes, type ModelProto, makeNode, makeTensor } from '@ort-dora/onnx';
import * as ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../src/tensors/elements.js';
import { readNpz, toNumbers } from './support/npz.js';
import { relativeError } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { rewritten } from './support/rewrite.js';
import { numbersOf } from './support/tensors.js';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'exports');
const EXACT_PRODUCTS = { extra: { session: { qdq_matmulnbits_accuracy_level: '1' } } };

/** The export with its base weight as int8, one scale an output; all readers get the dequantized numbers. */
function quantized(name: string): ModelProto {
  const model = decodeModel(new Uint8Array(readFileSync(join(FOLDER, `${name}.onnx`))));
  const graph = model.graph!;
  const weight = graph.initializer.find(({ name: each = '' }) => each.endsWith('q_proj.base_layer.weight'))!;
  const values = toFloat32(inlineBytes(weight), 'float32');
  const [outFeatures = 0, inFeatures = 0] = weight.dims.map(Number);
  const rows = Array.from({ length: outFeatures }, (_, row) =>
    values.subarray(row * inFeatures, (row + 1) * inFeatures),
  );
  const scales = Float32Array.from(rows, (row) => Math.max(...row.map(Math.abs)) / 127);
  const elements = Int8Array.from(values, (value, index) =>
    Math.round(value / scales[Math.floor(index / inFeatures)]!),
  );
  graph.initializer = graph.initializer.filter((tensor) => tensor !== weight);
  graph.initializer.push(
    makeTensor('w.quantized', DataType.INT8, [outFeatures, inFeatures], elements),
    makeTensor('w.scale', DataType.FLOAT, [outFeatures], scales),
  );
  graph.node.unshift(
    makeNode('DequantizeLinear', ['w.quantized', 'w.scale'], [weight.name!], { attributes: { axis: { int: 0 } } }),
  );
  return model;
}

describe.each(['legacy_opset13_gemm', 'legacy_opset18_scaling1', 'dynamo_unoptimized', 'legacy_two_adapters_bias'])(
  '%s',
  (name) => {
    it.each(['linear', 'compose'] as const)('keeps its base and stores g, --form %s', async (form) => {
      const model = quantized(name);
      const { model: result, report } = await rewritten(model, { form, scale: 'stored' });
      expect(report.totals.skipped).toBe(0);
      for (const module of report.modules) {
        expect(module).toMatchObject({ status: 'fused', operator: 'DoraCompose', scale: 'stored' });
      }
      const operators = result.graph!.node.map(({ opType }) => opType);
      expect(operators.filter((opType) => opType === 'DequantizeLinear')).toHaveLength(1);
      expect(operators).not.toContain('ReduceL2');

      const x = readNpz(join(FOLDER, `${name}.npz`)).get('x')!;
      const feeds = { x: new ort.Tensor('float32', Float32Array.from(toNumbers(x)), x.dims) };
      const run = async (graph: ModelProto) => numbersOf((await runModel(graph, feeds, EXACT_PRODUCTS)).y!);
      expect(relativeError(await run(result), await run(model))).toBeLessThan(2 ** -20);
    });
  },
);
