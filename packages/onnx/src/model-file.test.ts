import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { openModel } from './index.js';

const sample = (name: string) =>
  fileURLToPath(new URL(`../../../models/fixtures/samples/${name}/model.onnx`, import.meta.url));

test('a truncated file is refused with the place of the damage', async () => {
  await expect(openModel(sample('t7_truncated'))).rejects.toMatchObject({
    code: 'malformed',
    where: { path: expect.stringMatching(/^graph/) },
  });
});

test('external data outside the folder is refused at opening', async () => {
  await expect(openModel(sample('t7_external_traversal'))).rejects.toMatchObject({ code: 'external-path' });
});
