/** DoRA on GPT-2's Conv1D, embeddings and convolutions: real exports, made by `layers/export.py`. */
import { readdirSync } from 'node:fs';
import { encodeModel, type ModelProto } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { expectSameBytes } from './support/bytes.js';
import { LAYERS_FOLDER, layerArrays, layerModel } from './support/layers.js';
import { toNumbers, toTensor } from './support/npz.js';
import { relativeError } from './support/numbers.js';
import { runModel } from './support/ort.js';
import { rewritten } from './support/rewrite.js';
import { numbersOf } from './support/tensors.js';

const NAMES = readdirSync(LAYERS_FOLDER)
  .filter((file) => file.endsWith('.onnx.gz'))
  .map((file) => file.replace('.onnx.gz', ''));

/** Whether the exporter has folded the norm: optimised dynamo exports of small layers. */
const isFolded = (name: string) => /_dynamo_peft/.test(name) && !name.includes('large');

/** What is expected of an export by its name: kind, exporter, version. */
function expectations(name: string) {
  const composeOnly = isFolded(name);
  const linear = name.startsWith('conv1d_gpt2');
  const embedding = name.startsWith('embedding');
  const delta = linear ? 'equalEye' : 'constantDelta';
  const chained = name.endsWith('peft0.13') ? 'recomputed' : 'adapted';
  const module = (adapter: string, rank: number, scaling: number, base: string) => ({
    status: 'fused',
    path: 'proj',
    kind: linear ? 'linear' : embedding ? 'embedding' : 'conv',
    operator: linear && base !== chained ? 'DoraLinear' : 'DoraCompose',
    rank,
    scaling,
    bias: !embedding && !name.includes('nobias') && base !== 'recomputed',
    form: { norm: composeOnly ? 'composeOnly' : 'full', ...(name.includes('large') ? { delta } : {}), base },
    ...(composeOnly ? {} : { adapter }),
  });
  const base = linear ? 'Reshape+Gemm+bias' : embedding ? 'Gather' : name.includes('nobias') ? 'Conv' : 'Conv+bias';
  const first = module('default', 2, 1.5, name.includes('scaled') ? 'Gather+Mul' : base);
  return name.includes('two_adapters') ? [first, module('second', 1, 1, chained)] : [first];
}

/** The norm of a grouped convolution is none of rows: where it is in the graph, the module is left alone. */
const isGroupedNorm = (name: string) => name.includes('groups') && !isFolded(name);

describe.each(NAMES.filter((name) => !isGroupedNorm(name)))('%s', (name) => {
  it.each([
    ['linear', 'stored'],
    ['linear', 'runtime'],
    // Embeddings and convolutions have DoraCompose in either form.
    ...(name.startsWith('conv1d_gpt2') ? [['compose', 'stored'] as const] : []),
  ] as const)('is fused and right, form %s, scale %s', async (form, scale) => {
    const model = layerModel(name);
    const { model: result, report } = await rewritten(model, { form, scale });
    const operator = form === 'compose' ? { operator: 'DoraCompose' } : {};
    const stored = isFolded(name) ? 'constant' : scale;
    expect(report.modules).toMatchObject(
      expectations(name).map((module) => ({ ...module, ...operator, scale: stored })),
    );
    await expectAtMostTwiceTheError(name, model, result);
    const again = await rewritten(result, { form, scale });
    expect(again.report.totals).toMatchObject({ fused: 0, skipped: 0, already: report.totals.fused });
  });
});

it.each(NAMES.filter(isGroupedNorm))('%s is left alone', async (name) => {
  const model = layerModel(name);
  const { model: result, report } = await rewritten(model);
  expect(report.modules).toMatchObject([
    {
      status: 'skipped',
      path: 'proj',
      reason: 'the convolution has 2 groups, and its norm is not that of rows of W + s·B·A',
    },
  ]);
  expectSameBytes(encodeModel(result), encodeModel(model));
});

async function expectAtMostTwiceTheError(name: string, model: ModelProto, result: ModelProto): Promise<void> {
  const arrays = layerArrays(name);
  const feeds = { x: toTensor(arrays.get('x')!) };
  const reference = toNumbers(arrays.get('y')!);
  const error = async (of: ModelProto) => relativeError(numbersOf((await runModel(of, feeds)).y!), reference);
  const rounding = name.includes('half') ? 2 ** -11 : 2 ** -24;
  expect(await error(result)).toBeLessThanOrEqual(2 * (await error(model)) + rounding);
}
