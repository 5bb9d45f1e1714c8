/** The exports of single layers in `test/layers`. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { decodeModel, type ModelProto } from '@ort-dora/onnx';
import { type NpyArray, readNpz } from './npz.js';

export const LAYERS_FOLDER = join(dirname(fileURLToPath(import.meta.url)), '../layers');

export function layerModel(name: string): ModelProto {
  return decodeModel(new Uint8Array(gunzipSync(readFileSync(join(LAYERS_FOLDER, `${name}.onnx.gz`)))));
}

/** The input x and PyTorch's result y in float64. */
export function layerArrays(name: string): Map<string, NpyArray> {
  return readNpz(join(LAYERS_FOLDER, `${name}.npz`));
}
