/**
 * Random changes to rewritten models: whatever is then merged must compute what the changed model computes. Seeds are
 * fixed, so that a failure is found again; MERGE_MUTATIONS=1000 runs that many a model.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, encodeModel, type ModelProto, OnnxError } from '@ort-dora/onnx';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mergeModel, RewriteError, type RewriteOptions, rewriteModel } from '../src/index.js';
import { layerArrays, layerModel } from './support/layers.js';
import { toTensor } from './support/npz.js';
import { relativeError, seeded } from './support/numbers.js';
import { type Feeds, runModel } from './support/ort.js';
import { inputSets, sample } from './support/samples.js';
import { numbersOf } from './support/tensors.js';

const rounds = Number(process.env.MERGE_MUTATIONS ?? 24);

let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ort-dora-mutations-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

it.each<[string, RewriteOptions]>([
  ['c05', { form: 'linear', scale: 'runtime' }],
  ['c05', { form: 'compose', scale: 'runtime' }],
  ['c18b', { form: 'linear' }],
  ['c18b', { form: 'compose' }],
  ['c14b', { form: 'compose' }],
  ['conv2d_legacy_peft0.21', { scale: 'runtime' }],
  ['conv1d_gpt2_legacy_peft0.21', { form: 'compose' }],
  ['embedding_scaled_legacy_peft0.21', {}],
])('%s, rewritten with %j', async (name, options) => {
  const { bytes, feeds } = await rewrittenModel(name, options);
  const [input, output] = [join(scratch, 'changed.onnx'), join(scratch, 'merged.onnx')];
  const outcomes = { invalid: 0, refused: 0, merged: 0 };
  for (let seed = 1; seed <= rounds; seed++) {
    const model = decodeModel(bytes);
    const change = mutate(model, seed);
    writeFileSync(input, encodeModel(model));
    const before = await runModel(input, feeds).catch(() => undefined);
    const report = await mergeModel(input, output).catch((error) => {
      if (error instanceof OnnxError || error instanceof RewriteError) return undefined;
      throw error;
    });
    if (before === undefined || report === undefined) {
      outcomes.invalid++;
      continue;
    }
    outcomes[report.totals.merged > 0 ? 'merged' : 'refused']++;
    const after = await runModel(output, feeds);
    for (const [result, tensor] of Object.entries(before)) {
      const error = relativeError(numbersOf(after[result]!), numbersOf(tensor));
      expect(error, `seed ${seed}: ${change}`).toBeLessThan(1e-5);
    }
  }
  expect(outcomes.merged).toBeGreaterThan(0);
  expect(outcomes.invalid + outcomes.refused).toBeGreaterThan(0);
});

async function rewrittenModel(name: string, options: RewriteOptions): Promise<{ bytes: Uint8Array; feeds: Feeds }> {
  const output = join(scratch, 'rewritten.onnx');
  if (/^c\d/.test(name)) {
    await rewriteModel(sample(name).path, output, { target: 'cpu', ...options });
    return { bytes: new Uint8Array(readFileSync(output)), feeds: inputSets(sample(name))[0]!.feeds };
  }
  const model = layerModel(name);
  const original = join(scratch, 'layer.onnx');
  writeFileSync(original, encodeModel(model));
  await rewriteModel(original, output, { target: 'cpu', ...options });
  const arrays = layerArrays(name);
  const feeds = model.graph!.input.map(({ name: input = '' }) => [input, toTensor(arrays.get(input)!)] as const);
  return { bytes: new Uint8Array(readFileSync(output)), feeds: Object.fromEntries(feeds) };
}

/** One change of a random kind at a random place; says which. */
function mutate(model: ModelProto, seed: number): string {
  const random = seeded(seed * 7919);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(Math.abs(random() * 1e4)) % items.length]!;
  const { node: nodes, initializer, input } = model.graph!;
  const values = [...input, ...initializer].map(({ name = '' }) => name).concat(nodes.flatMap(({ output }) => output));
  const node = pick(nodes.filter(({ input: read }) => read.length > 0));
  switch (pick(['input', 'input', 'attribute', 'byte', 'drop'] as const)) {
    case 'input': {
      const index = Math.floor(Math.abs(random() * 1e4)) % node.input.length;
      const value = pick(values);
      const change = `input ${index} of ${node.opType} is ${value}, not ${node.input[index]}`;
      node.input = node.input.with(index, value);
      return change;
    }
    case 'attribute': {
      const changed = pick(nodes.filter(({ attribute }) => attribute.length > 0));
      const attribute = pick(changed.attribute);
      if (attribute.f !== undefined) attribute.f = attribute.f * 1.25 + 0.1;
      else if (attribute.i !== undefined) attribute.i = attribute.i === 0n ? 1n : 0n;
      else attribute.ints = attribute.ints.map((value, index) => (index === 0 ? value + 1n : value));
      return `${attribute.name} of ${changed.opType} is another`;
    }
    case 'byte': {
      const tensor = pick(initializer.filter(({ rawData }) => (rawData?.length ?? 0) >= 4));
      const bytes = new Uint8Array(tensor.rawData!);
      const at = 2 + 4 * (Math.floor(Math.abs(random() * 1e6)) % (bytes.length / 4));
      bytes[at] = bytes[at]! ^ 64;
      tensor.rawData = bytes;
      return `byte ${at} of ${tensor.name} is another`;
    }
    case 'drop':
      node.input = node.input.slice(0, -1);
      return `${node.opType} has no last input`;
  }
}
