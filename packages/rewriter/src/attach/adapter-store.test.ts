import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { externalLocation, inlineBytes, makeGraph, makeModel, type TensorProto } from '@ort-dora/onnx';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { storedFloats } from '../../test/support/stored.js';
import { Staging } from '../rewrite/staging.js';
import { emptyTensor } from '../tensors/make.js';
import { AdapterStore, storedElements } from './adapter-store.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'store-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const sources = [storedFloats([1, 2, 3], [3]), storedFloats([4, 5], [1, 2], 'float16'), storedFloats([6], [])];

async function staged(mostInline: number, taken: readonly TensorProto[] = []): Promise<readonly TensorProto[]> {
  const store = new AdapterStore(mostInline);
  const tensors = sources.map((source, index) => emptyTensor(`t${index}`, source));
  for (const [index, source] of sources.entries()) store.add(tensors[index]!, storedElements(source));
  const initializers = [...taken, ...tensors];
  const model = makeModel(makeGraph('g', { nodes: [], outputs: [], initializers }), { opsets: { '': 20 } });
  const staging = new Staging();
  await store.stage(model, join(folder, 'out.onnx'), staging);
  await staging.commit();
  return tensors;
}

it('puts a small adapter into the model', async () => {
  const tensors = await staged(20);
  expect(readdirSync(folder)).toEqual([]);
  for (const [index, tensor] of tensors.entries()) expect(inlineBytes(tensor)).toEqual(await sources[index]!.read());
});

it('puts a larger one beside it, each tensor at a whole number of lines of the cache', async () => {
  const tensors = await staged(19);
  const data = readFileSync(join(folder, 'out.onnx_adapter_data'));
  expect(tensors.map((tensor) => externalLocation(tensor))).toMatchObject([
    { location: 'out.onnx_adapter_data', offset: 0, length: 12 },
    { location: 'out.onnx_adapter_data', offset: 64, length: 4 },
    { location: 'out.onnx_adapter_data', offset: 128, length: 4 },
  ]);
  for (const [index, tensor] of tensors.entries()) {
    const { offset, length } = externalLocation(tensor);
    expect(new Uint8Array(data.subarray(offset, offset + length))).toEqual(await sources[index]!.read());
  }
});

it('takes another name where the base has a file of that one', async () => {
  const [first] = await staged(19);
  const again = await staged(19, [first!]);
  expect(externalLocation(again[0]!).location).toBe('out.onnx_adapter_data_');
});
