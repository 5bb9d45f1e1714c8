import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { externalWeights, increment } from '../test/support/models.js';
import { createSession, loadInitializers, NativeTensor } from './index.js';

const root = mkdtempSync(join(tmpdir(), 'initializers-'));
afterAll(() => rmSync(root, { recursive: true }));

function folderWith(weights: Float32Array, model = externalWeights(4, 3)): string {
  const folder = mkdtempSync(join(root, 'model-'));
  writeFileSync(join(folder, 'model.onnx'), model);
  writeFileSync(join(folder, 'weights.bin'), weights);
  return join(folder, 'model.onnx');
}

const weights = Float32Array.from({ length: 12 }, (_, i) => i);
const ones = { type: 'float32', data: new Float32Array(4).fill(1), dims: [1, 4] } as const;
const refused = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

test('external data is read once, for any number of sessions', async () => {
  const model = folderWith(weights);
  const initializers = await loadInitializers(model, { device: 'cpu', atLeast: 0 });
  expect(Object.keys(initializers)).toEqual(['W']);
  expect(initializers.W!.dims).toEqual([4, 3]);
  // On the CPU, ONNX Runtime repacks the weights of a product for itself, unless it is told not to.
  const options = { initializers, configEntries: { 'session.disable_prepacking': '1' } };
  const sessions = [await createSession(model, options), await createSession(model, options)];
  // Seen by both of them: there is one W.
  initializers.W!.slice(0, 1).copyFromSync({ type: 'float32', data: Float32Array.of(100, 100, 100), dims: [1, 3] });
  initializers.W!.dispose();
  for (const session of sessions) {
    const { y } = await session.run({ x: ones });
    expect(y!.data).toEqual(Float32Array.of(118, 121, 124));
    await session.dispose();
  }
});

test('small tensors and data inside of the model are left to the sessions', async () => {
  expect(await loadInitializers(folderWith(weights), { device: 'cpu' })).toEqual({});
  expect(await loadInitializers(folderWith(weights, increment()), { device: 'cpu', atLeast: 0 })).toEqual({});
});

test('a file that is too short is told by its name', async () => {
  const model = folderWith(weights.subarray(0, 5));
  await expect(loadInitializers(model, { device: 'cpu', atLeast: 0 })).rejects.toThrow(
    refused('MODEL_LOAD_FAILED', /weights\.bin ends at byte 20, inside of a tensor/),
  );
});

test('data outside of the folder is not read', async () => {
  const model = folderWith(weights);
  const moved = Buffer.from(externalWeights(4, 3));
  moved.write('../aaaa.bin', moved.indexOf('weights.bin'));
  writeFileSync(model, moved);
  await expect(loadInitializers(model, { device: 'cpu', atLeast: 0 })).rejects.toThrow(
    refused('MODEL_LOAD_FAILED', /outside of the model's folder/),
  );
});

test('a model that is not there, or none', async () => {
  await expect(loadInitializers('/nowhere.onnx', { device: 'cpu' })).rejects.toThrow(
    refused('MODEL_NOT_FOUND', /ENOENT/),
  );
  const model = folderWith(weights, new Uint8Array(1000).fill(0x3a));
  expect(await loadInitializers(model, { device: 'cpu', atLeast: 0 })).toEqual({});
});

test('initializers are checked', async () => {
  await expect(createSession(increment(), { initializers: { one: 3 } as never })).rejects.toThrow(
    refused('INVALID_ARGUMENT', /initializers\['one'\]: expected a NativeTensor, got 3/),
  );
  const one = NativeTensor.from({ type: 'float32', data: Float32Array.of(5), dims: [1] });
  const session = await createSession(increment(), { initializers: { one, nobody: one } });
  const { y } = await session.run({ x: { type: 'float32', data: Float32Array.of(1), dims: [1] } });
  expect(y!.data).toEqual(Float32Array.of(6));
  await session.dispose();
});
