/** `ort-dora attach` on the trained demo model and its two real adapters. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BANK_LAYOUT_METADATA, openAdapter, parseBankLayout } from '@ort-dora/adapters';
import { getMetadata, openModel } from '@ort-dora/onnx';
import { verifyModels } from '@ort-dora/verify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ortDora } from './support/program.js';

const demo = fileURLToPath(new URL('../../../models/fixtures/demo/', import.meta.url));
const decoder = join(demo, 'onnx', 'decoder_model_merged.onnx');
const reading = join(demo, 'adapters', 'reading');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'attach-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('the base with the adapter is the model that was exported with the adapter in it', async () => {
  const out = join(folder, 'attached.onnx');
  const { code, stdout } = await ortDora('attach', decoder, reading, out, '--json');
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({ mode: 'attach', output: out, warnings: [], totals: { modules: 14, fused: 14 } });
  expect(report.modules).toContainEqual(
    expect.objectContaining({
      path: 'model.text_model.layers.1.mlp.up_proj',
      operator: 'DoraLinear',
      rank: 8,
      scaling: 2,
      weightShape: [640, 640],
    }),
  );
  const exported = join(demo, 'onnx', 'decoder_model_merged_reading.onnx');
  const compared = await verifyModels(exported, out);
  expect(compared.summary).toMatch(/^verified/);
  expect(compared.passed).toBe(true);
});

test('--verify judges every module and the whole model against PEFT on the same base', async () => {
  const [out, html] = ['attached.onnx', 'report.html'].map((name) => join(folder, name)) as [string, string];
  const counting = join(demo, 'adapters', 'counting');
  const { code, stdout } = await ortDora(
    'attach',
    decoder,
    counting,
    out,
    '--form',
    'compose',
    '--verify',
    '--html',
    html,
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /\n14 modules of the DoRA adapter attached: 14 layers adapted; verified: worst module error 1?\d\.\d+× the original's, .*\n$/,
  );
  expect(stdout).toMatch(
    /^model\.text_model\.layers\.0\.self_attn\.k_proj +linear +8 +2 +float32 +MatMul +\d+\.\d+× +DoraCompose$/m,
  );
  expect(readFileSync(html, 'utf8')).toContain(`ort-dora attach ${decoder} ${counting} ${out} --html ${html} --verify`);
  expect(readdirSync(folder).sort()).toEqual(['attached.onnx', 'decoder_model_merged.onnx_data', 'report.html']);
});

test('a quantized base stays as it is, and is verified with the adapter over it', async () => {
  const fixtures = fileURLToPath(new URL('../../rewriter/test/fixtures/attach/', import.meta.url));
  const out = join(folder, 'attached.onnx');
  const base = join(fixtures, 'bases', 'legacy_nbits4.onnx');
  const { code, stdout } = await ortDora('attach', base, join(fixtures, 'adapters', 'dora'), out, '--verify');
  expect(code).toBe(0);
  expect(stdout.match(/MatMulNBits +\d+\.\d+× +DoraCompose/g)).toHaveLength(8);
  expect(stdout).toContain('8 layers adapted; verified: worst module error');
});

test.each([
  ['dynamo_conv', 'conv', ['stem', 'wave']],
  [
    'legacy_tied',
    'embedding',
    ['model.embed_tokens', 'model.layers.0.self_attn.v_proj', 'model.layers.1.self_attn.v_proj'],
  ],
])('--verify judges convolutions and embeddings too: %s', async (base, adapter, paths) => {
  const fixtures = fileURLToPath(new URL('../../rewriter/test/fixtures/attach/', import.meta.url));
  const model = join(fixtures, 'bases', `${base}.onnx`);
  const out = join(folder, 'attached.onnx');
  const { code, stdout } = await ortDora(
    'attach',
    model,
    join(fixtures, 'adapters', adapter),
    out,
    '--verify',
    '--json',
  );
  expect(code).toBe(0);
  const { verification } = JSON.parse(stdout);
  expect(verification).toMatchObject({ passed: true, unchecked: [] });
  expect(verification.modules.map(({ path }: { path: string }) => path)).toEqual(paths);
});

test('a model with an adapter gets no second one', async () => {
  const out = join(folder, 'attached.onnx');
  await ortDora('attach', decoder, reading, out);
  const second = await ortDora('attach', out, join(demo, 'adapters', 'counting'), join(folder, 'both.onnx'));
  expect(second).toMatchObject({ code: 1, stdout: '' });
  expect(second.stderr).toContain('adapted in this model already: attach to the export of the base');
  expect(existsSync(join(folder, 'both.onnx'))).toBe(false);
});

test('a folder: the modules are found in one file, the others and everything beside them come along', async () => {
  const out = join(folder, 'model');
  const { code, stdout } = await ortDora('attach', demo, reading, out, '--json');
  expect(code).toBe(0);
  const { models } = JSON.parse(stdout) as { models: { model: string; totals: { fused: number } }[] };
  expect(models.map(({ model, totals }) => [model, totals.fused])).toEqual([
    ['decoder_model_merged.onnx', 14],
    ['decoder_model_merged_reading.onnx', 0],
    ['embed_tokens.onnx', 0],
    ['vision_encoder.onnx', 0],
  ]);
  expect(readdirSync(join(out, 'onnx')).sort()).toEqual(readdirSync(join(demo, 'onnx')).sort());
  expect(readFileSync(join(out, 'tokenizer.json'))).toEqual(readFileSync(join(demo, 'tokenizer.json')));
  await using adapter = await openAdapter(reading);
  await using attached = await openModel(join(out, 'onnx', 'decoder_model_merged.onnx'));
  const tensor = attached.model.graph!.initializer.find(
    ({ name }) => name === 'model.text_model.layers.0.self_attn.q_proj.lora_B.weight',
  )!;
  const module = adapter.modules.get('model.text_model.layers.0.self_attn.q_proj')!;
  expect(await attached.readBytes(tensor)).toEqual(new Uint8Array(await module.loraB.read()));
});

test('another model is refused with all modules that are missing, and nothing is written', async () => {
  const { code, stdout, stderr } = await ortDora(
    'attach',
    join(demo, 'onnx', 'vision_encoder.onnx'),
    reading,
    join(folder, 'out.onnx'),
  );
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toContain("14 of the adapter's 14 modules cannot be attached, so nothing was written");
  await using adapter = await openAdapter(reading);
  for (const path of adapter.modules.keys()) expect(stderr).toContain(path);
  expect(stderr).toContain('closest: model.vision_model.encoder.layers.0.self_attn.k_proj');
  expect(readdirSync(folder)).toEqual([]);
});

test('an export that has an adapter already is not adapted again', async () => {
  const exported = join(demo, 'onnx', 'decoder_model_merged_reading.onnx');
  const { code, stderr } = await ortDora('attach', exported, reading, join(folder, 'out.onnx'));
  expect(code).toBe(1);
  expect(stderr).toContain('adapted in this model already: attach to the export of the base');
});

test('--bank writes room for adapters into every file that has targets', async () => {
  const out = join(folder, 'bank');
  const json = join(folder, 'report.json');
  const words = ['--bank', '3', '--max-rank', '8', '--targets', 'text_model.layers.1.mlp.up_proj,q_proj'];
  const { code, stdout } = await ortDora('attach', demo, out, ...words, '--report', json);
  expect(code).toBe(0);
  expect(stdout).toContain('decoder_model_merged.onnx: 3 layers with room for 3 adapters of rank 8 at most');
  expect(stdout).toContain('vision_encoder.onnx: 4 layers with room for 3 adapters of rank 8 at most');
  const { models } = JSON.parse(readFileSync(json, 'utf8')) as { models: { bank: object | null }[] };
  expect(models.map(({ bank }) => bank !== null)).toEqual([true, false, false, true]);
  await using written = await openModel(join(out, 'onnx', 'decoder_model_merged.onnx'));
  const layout = parseBankLayout(getMetadata(written.model, BANK_LAYOUT_METADATA)!, out);
  expect([...layout.modules.keys()]).toEqual([
    'model.text_model.layers.0.self_attn.q_proj',
    'model.text_model.layers.1.mlp.up_proj',
    'model.text_model.layers.1.self_attn.q_proj',
  ]);
});

test.each([
  [['attach', decoder, reading, decoder], 1, 'the output is the input itself'],
  [['attach', decoder, join(demo, 'adapters'), 'out.onnx'], 1, 'adapter_config.json'],
  [['attach', decoder, reading], 2, "missing argument 'OUT'"],
  [['attach', demo, reading, demo], 1, 'OUT is the input itself'],
  [['attach', decoder, reading, 'out.onnx', '--max-rank', '4'], 2, '--max-rank is for banks only'],
  [['attach', decoder, 'out.onnx', '--bank', '4'], 2, '--bank needs --max-rank'],
  [['attach', decoder, 'out.onnx', '--bank', '0', '--max-rank', '4'], 2, 'a whole number of at least 1'],
  [['attach', decoder, reading, 'out.onnx', '--bank', '4', '--max-rank', '4'], 2, '--bank takes no ADAPTER_DIR'],
  [['attach', decoder, 'out.onnx', '--bank', '4', '--max-rank', '4', '--verify'], 2, '--verify is for adapters only'],
  [['attach', decoder, 'out.onnx', '--bank', '4', '--max-rank', '4', '--targets', 'x'], 1, 'a path that ends with x'],
  [['attach', decoder, reading, 'out.onnx', '--form', 'merged'], 2, '--form'],
])('%j ends with %i', async (argv, expected, message) => {
  const { code, stderr } = await ortDora(...argv);
  expect(code).toBe(expected);
  expect(stderr).toContain(message);
});
