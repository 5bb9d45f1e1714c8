/**
 * Against the `onnx` package of Python (protobuf's C++ or upb parser), newest fields included. Needs a Python that has
 * it: ONNX_PYTHON=/path/to/python npx vitest run packages/onnx/test/python.test.ts
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodeModel, encodeModel } from '../src/index.js';
import { MODEL, type Schema } from '../src/schema.js';
import { randomModel } from './random-model.js';
import { randomMessage, seededRandom } from './wire-forms.js';

const python = process.env.ONNX_PYTHON;
const COUNT = 300;
const REWRITE = `
import sys, pathlib, onnx
for file in pathlib.Path(sys.argv[1]).glob('*.onnx'):
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
        file.with_suffix('.out').write_bytes(model.SerializeToString(deterministic=True))
    except Exception as error:
        file.with_suffix('.bad').write_text(str(error))
`;

test.skipIf(python === undefined)(`${COUNT} models with every field are written alike`, () => {
  const written = rewrittenByPython((seed) => encodeModel(randomModel(seed)));
  for (const { ours, theirs } of written) expect(Buffer.compare(ours, afresh(theirs!))).toBe(0);
});

test.skipIf(python === undefined)(`${COUNT} files in odd forms are read alike`, () => {
  const written = rewrittenByPython((seed) =>
    Uint8Array.from(randomMessage(MODEL as unknown as Schema<object>, seededRandom(seed))),
  );
  let read = 0;
  for (const { ours, theirs } of written) {
    // Python refuses text that is no UTF-8, which this package keeps.
    if (theirs === undefined) continue;
    read++;
    expect(Buffer.compare(afresh(ours), afresh(theirs))).toBe(0);
  }
  expect(read).toBeGreaterThan(COUNT / 2);
});

/** In this package's canonical form: Python's has the same fields in an order of its own. */
function afresh(bytes: Uint8Array): Uint8Array {
  return encodeModel(structuredClone(decodeModel(bytes)));
}

function rewrittenByPython(make: (seed: number) => Uint8Array): { ours: Uint8Array; theirs: Uint8Array | undefined }[] {
  const folder = mkdtempSync(join(tmpdir(), 'onnx-python-'));
  try {
    const models = Array.from({ length: COUNT }, (_, index) => make(index + 1));
    models.forEach((bytes, index) => {
      writeFileSync(join(folder, `${index}.onnx`), bytes);
    });
    execFileSync(python!, ['-c', REWRITE, folder]);
    return models.map((ours, index) => ({ ours, theirs: tryRead(join(folder, `${index}.out`)) }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function tryRead(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
