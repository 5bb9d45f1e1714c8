/** The files beside models that hold their weights. */

import { dirname, resolve } from 'node:path';
import { externalTensors, openModel } from '@ort-dora/onnx';

/** Absolute paths of the external data of the models; nothing of the data is read. */
export async function externalFiles(models: readonly string[]): Promise<Set<string>> {
  const files = new Set<string>();
  for (const path of models) {
    const model = await openModel(path);
    try {
      for (const { place } of externalTensors(model.model)) files.add(resolve(dirname(path), place.location));
    } finally {
      await model.close();
    }
  }
  return files;
}
