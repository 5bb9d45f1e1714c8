/** Real exports of layers that look like DoRA: each is left as it is, and the report says why; `lookalikes/export.py` made them. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { decodeModel, encodeModel, type ModelProto } from '@ort-dora/onnx';
import { describe, expect, it } from 'vitest';
import { expectSameBytes } from './support/bytes.js';
import { rewritten } from './support/rewrite.js';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'lookalikes');

const NORM = 'the divisor is not the plain norm of W + s·B·A';
const AXES = 'the norm is not taken over the inputs, one per output';

/** What is said of each; nothing of those without a magnitude over the norm of a sum, by which DoRA is noticed. */
const LOOKALIKES: readonly (readonly [name: string, reason: string | undefined])[] = [
  ['plain_lora', undefined],
  ['weight_norm', undefined],
  ['cosine_classifier', undefined],
  ['epsilon', NORM],
  ['clamped', NORM],
  ['over_outputs', AXES],
  ['frobenius', AXES],
  ['sum_of_magnitudes', NORM],
  ['largest_magnitude', NORM],
  ['other_factors', 'the norm\'s A "other.weight" is not proved to be the adapter\'s'],
  ['other_scaling', 'the adapter is scaled by 1.5000001192092896 but by 1.5 in the norm'],
  ['bias_gained', 'the base term still holds the bias'],
  ['subtraction_swapped', 'the base term is not scaled by g − 1'],
  ['division_swapped', NORM],
  ['norm_of_base', undefined],
  ['lycoris_inputs', 'the sum is not base + ((g − 1)·u + g·ℓ·s)'],
  ['lycoris_composed', AXES],
];

describe.each(['legacy', 'dynamo'])('%s', (exporter) => {
  it.each(LOOKALIKES)('%s is left alone', async (name, reason) => {
    const model = lookalike(`${name}_${exporter}`);
    const { model: result, report } = await rewritten(model);
    const expected = reason === undefined ? [] : [{ status: 'skipped', reason: expect.stringContaining(reason) }];
    expect(report.modules).toMatchObject(expected);
    expectSameBytes(encodeModel(result), encodeModel(model));
  });

  it('what they resemble is fused', async () => {
    const { report } = await rewritten(lookalike(`dora_${exporter}`));
    expect(report.modules).toMatchObject([{ status: 'fused', operator: 'DoraLinear', scaling: 1.5 }]);
  });
});

function lookalike(name: string): ModelProto {
  return decodeModel(new Uint8Array(gunzipSync(readFileSync(join(FOLDER, `${name}.onnx.gz`)))));
}
