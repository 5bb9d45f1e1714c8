/** `ort-dora merge` and `ort-dora extract` on the trained demo model and its real adapters. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { verifyModels } from '@ort-dora/verify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ortDora, samples } from './support/program.js';

const demo = fileURLToPath(new URL('../../../models/fixtures/demo/', import.meta.url));
const exported = join(demo, 'onnx', 'decoder_model_merged_reading.onnx');
const reading = join(demo, 'adapters', 'reading');
const nothing = join(samples, 't1_plain_lora_dynamo', 'model.onnx');

let folder: string;
let attached: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'merge-extract-'));
  attached = join(folder, 'attached.onnx');
  const base = join(demo, 'onnx', 'decoder_model_merged.onnx');
  expect((await ortDora('attach', base, reading, attached)).code).toBe(0);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true }));

describe('merge', () => {
  test('an attached model becomes a plain one that computes the same', async () => {
    const [out, report, html] = ['merged.onnx', 'r.json', 'r.html'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const { code, stdout } = await ortDora(
      'merge',
      attached,
      out,
      '--report',
      report,
      '--html',
      html,
      '--require',
      '14',
    );
    expect(code).toBe(0);
    expect(stdout).toContain('cost: each further adapter is a copy of 17.7 MB, where it would be 536 KB beside');
    expect(stdout).toMatch(/saved: 536 KB of A, B and g, and 3\.0 % of these layers' arithmetic\n/);
    expect(stdout).toMatch(/\n14 layers merged; written to .*merged\.onnx\n$/);
    expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({
      mode: 'merge',
      totals: { merged: 14, skipped: 0 },
    });
    expect(readFileSync(html, 'utf8')).toContain('14 layers have one weight again');
    const { passed, summary } = await verifyModels(exported, out);
    expect(passed, summary).toBe(true);
  });

  test('a folder, every file of it', async () => {
    const out = join(folder, 'folder');
    const { code, stdout } = await ortDora('merge', demo, out, '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.totals).toMatchObject({ merged: 14, skipped: 0 });
    expect(report.models).toHaveLength(4);
    expect(report.modules[0].path).toMatch(/^onnx\/decoder_model_merged_reading\.onnx: model\.text_model/);
    expect(existsSync(join(out, 'tokenizer.json'))).toBe(true);
  });

  test('too few layers, nothing to merge, the input as the output', async () => {
    const out = join(folder, 'plain.onnx');
    const few = await ortDora('merge', nothing, out, '--require', '1');
    expect(few).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('0 layers merged where --require asks for 1'),
    });
    expect(few.stdout).toMatch(/^no adapter found, nothing was merged; .* is equivalent to model\.onnx\n$/);
    const same = await ortDora('merge', nothing, nothing);
    expect(same).toMatchObject({ code: 1, stderr: expect.stringContaining('the output is the input itself') });
    expect((await ortDora('merge', nothing)).code).toBe(2);
  });
});

describe('extract', () => {
  test('what was attached comes back, its config to the byte', async () => {
    const out = join(folder, 'adapter');
    const { code, stdout } = await ortDora('extract', attached, out, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ config: 'attached', useDora: true, output: out });
    expect(readdirSync(out).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const config = (place: string) => readFileSync(join(place, 'adapter_config.json'), 'utf8');
    expect(config(out)).toBe(config(reading));
    expect((await ortDora('extract', attached, out)).stderr).toContain('it is there already and holds files');
  });

  test('what was exported comes back whole, and says that the config is a new one', async () => {
    const out = join(folder, 'reconstructed');
    const { code, stdout } = await ortDora('extract', demo, out);
    expect(code).toBe(0);
    expect(stdout).toContain('adapter_config.json was reconstructed from the model');
    expect(stdout).toMatch(/\n14 modules of the adapter written to /);
    const tensors = (place: string) => readFileSync(join(place, 'adapter_model.safetensors'));
    expect(tensors(out).equals(tensors(reading))).toBe(true);
  });

  test('a model without an adapter, and one without a name for the adapter', async () => {
    const out = join(folder, 'none');
    const none = await ortDora('extract', nothing, out);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('no adapter was found in it') });
    const two = await ortDora('extract', join(samples, 'c18b_two_adapters_nobias_legacy', 'model.onnx'), out);
    expect(two).toMatchObject({ code: 1, stderr: expect.stringContaining('name one of them (--adapter)') });
    expect(existsSync(out)).toBe(false);
  });
});
