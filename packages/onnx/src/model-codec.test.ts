import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeModel, encodeModel } from './index.js';

const samples = new URL('../../../models/fixtures/samples/', import.meta.url);
for (const name of readdirSync(samples).filter((n) => !n.includes('.') && n !== 't7_truncated')) {
  test(name, () => {
    const bytes = readFileSync(new URL(`${name}/model.onnx`, samples));
    const model = decodeModel(bytes);
    expect(Buffer.compare(encodeModel(model), bytes)).toBe(0);
    const node = model.graph!.node[3]!;
    const was = node.name;
    node.name = 'changed';
    model.graph!.node.splice(2, 0, model.graph!.node.pop()!);
    const other = encodeModel(model);
    expect(Buffer.compare(other, bytes)).not.toBe(0);
    expect(decodeModel(other)).toEqual(model);
    model.graph!.node.push(...model.graph!.node.splice(2, 1));
    node.name = was;
    expect(Buffer.compare(encodeModel(model), bytes)).toBe(0);
    expect(Buffer.compare(encodeModel(structuredClone(model)), bytes)).toBe(0);
  });
}
