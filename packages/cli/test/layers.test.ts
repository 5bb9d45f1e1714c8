/** Embeddings and convolutions through the program: fused, and each composition verified against float64. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ortDora } from './support/program.js';

const layers = fileURLToPath(new URL('../../rewriter/test/layers/', import.meta.url));

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ort-dora-layers-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each([
  ['conv1d_gpt2_legacy_peft0.21', 1],
  ['conv2d_legacy_peft0.11', 1],
  ['conv2d_groups_dynamo_peft0.21', 1],
  ['conv2d_two_adapters_legacy_peft0.21', 2],
  ['embedding_scaled_legacy_peft0.21', 1],
  ['embedding_scaled_half_legacy_peft0.21', 1],
])('%s', async (name, modules) => {
  const model = join(folder, `${name}.onnx`);
  writeFileSync(model, gunzipSync(readFileSync(join(layers, `${name}.onnx.gz`))));
  const { code, stdout } = await ortDora(
    'rewrite',
    model,
    join(folder, `${name}-out.onnx`),
    '--verify',
    '--require',
    String(modules),
    '--json',
  );
  expect(code).toBe(0);
  const { verification } = JSON.parse(stdout);
  expect(verification).toMatchObject({ passed: true, unchecked: [] });
  expect(verification.modules).toHaveLength(modules);
});
