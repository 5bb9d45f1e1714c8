/**
 * Decoders of every model family, tiny but real (models/families): each DoRA module is fused, and prefill and decode steps
 * answer what the whole model answers in PyTorch, for text and for pictures.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rewriteModel } from '@ort-dora/rewriter';
import { createSession, type Session, type TensorData } from '@ort-dora/runtime';
import { readNpzFile } from '@ort-dora/verify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { computeNorm } from '../src/weights/norm-compute.js';

const FAMILIES = fileURLToPath(new URL('../../../models/fixtures/families/', import.meta.url));
const STEPS = 4;
/** Smallest cosine of logits to PyTorch's. */
const COSINE = { float32: 0.99999, float16: 0.9999 } as const;

interface Recorded {
  readonly families: Readonly<Record<string, Readonly<Record<keyof typeof COSINE, { readonly modules: number }>>>>;
}
const recorded = JSON.parse(readFileSync(join(FAMILIES, 'families.json'), 'utf8')) as Recorded;
const cases = Object.entries(recorded.families).flatMap(([family, dtypes]) =>
  (['float32', 'float16'] as const).map((dtype) => ({ family, dtype, modules: dtypes[dtype].modules })),
);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ort-dora-families-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(cases)('$family, $dtype', ({ family, dtype, modules }) => {
  const original = join(FAMILIES, family, `decoder_model_merged_${dtype}.onnx`);
  const recording = readNpzFile(join(FAMILIES, family, `${dtype}.npz`));
  const path = () => join(folder, `${family}_${dtype}.onnx`);

  it(`fuses all ${modules} modules`, async () => {
    const { report } = await rewriteModel(original, path(), { compute: computeNorm, target: 'cpu' });
    expect(report.totals).toMatchObject({ fused: modules, skipped: 0 });
    expect(modules).toBeGreaterThan(0);
  });

  describe.each(['auto', 'off'] as const)('operator library %s', (customOps) => {
    it.each(['text', 'image'])('answers %s prompts as PyTorch does', async (prompt) => {
      const session = await createSession(path(), { customOps });
      try {
        const cosines = await generate(session, await recording, prompt);
        for (const cosine of cosines) expect(cosine).toBeGreaterThanOrEqual(COSINE[dtype]);
      } finally {
        await session.dispose();
      }
    });
  });
});

/** Prefill and decode steps with a cache of the session's own; the cosine of each step's logits to PyTorch's. */
async function generate(session: Session, recording: ReadonlyMap<string, TensorData>, prompt: string) {
  const cosines: number[] = [];
  let past: Record<string, TensorData> = {};
  for (const input of session.inputs) {
    if (input.isTensor && input.name.startsWith('past')) past[input.name] = start(input.type, input.shape);
  }
  for (let step = 0; step < STEPS; step++) {
    const feeds: Record<string, TensorData> = { ...past };
    for (const { name } of session.inputs) {
      const array = recording.get(`${prompt}.${step}.${name}`);
      if (array !== undefined) feeds[name] = array;
    }
    const { logits, ...present } = (await session.run(feeds)) as Record<string, TensorData>;
    cosines.push(cosine(logits!.data as Float32Array, recording.get(`${prompt}.${step}.logits`)!.data as Float32Array));
    past = Object.fromEntries(Object.entries(present).map(([name, value]) => [asPast(name), value]));
  }
  return cosines;
}

/** A tensor of the cache before the first token, for one prompt: no past, and states of zeros. */
function start(type: string, shape: readonly (number | string)[]): TensorData {
  const dims = shape.map((size, axis) => (axis === 0 ? 1 : typeof size === 'number' ? size : 0));
  const count = dims.reduce((product, size) => product * size, 1);
  return type === 'float16'
    ? { type, data: new Uint16Array(count), dims }
    : { type: 'float32', data: new Float32Array(count), dims };
}

/** The input that an output of the cache becomes, as transformers.js names them. */
function asPast(present: string): string {
  return present.replace('present_', 'past_').replace('present.', 'past_key_values.');
}

function cosine(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.NaN;
  let [product, left, right] = [0, 0, 0];
  for (const [index, value] of a.entries()) {
    const other = b[index]!;
    product += value * other;
    left += value * value;
    right += other * other;
  }
  return product / Math.sqrt(left * right);
}
