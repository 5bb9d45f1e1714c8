import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  decodeModel,
  encodeModel,
  type ModelProto,
  OnnxError,
  openModel,
  writeFileAtomically,
  writeModel,
} from './index.js';

const workspace = fileURLToPath(new URL('../../..', import.meta.url));
const sample = new Uint8Array(
  readFileSync(join(workspace, 'models/fixtures/samples/c08_linear_bias_dynamo_small/model.onnx')),
);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'onnx-write-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

test('a model is written whole, over what was there', async () => {
  const path = join(folder, 'model.onnx');
  writeFileSync(path, 'before');
  const model = decodeModel(sample);
  model.graph!.node[0]!.docString = 'x'.repeat(3e6);
  await writeModel(model, path);
  expect(Buffer.compare(readFileSync(path), encodeModel(model))).toBe(0);
  expect((await openModel(path)).model.graph!.node).toHaveLength(model.graph!.node.length);
  expect(readdirSync(folder)).toEqual(['model.onnx']);
});

test('a write that fails in the middle leaves what was there, and nothing else', async () => {
  const path = join(folder, 'model.onnx');
  writeFileSync(path, 'before');
  const interrupted = async function* () {
    yield new Uint8Array(2e6);
    expect(readdirSync(folder)).toHaveLength(2);
    throw new Error('interrupted');
  };
  await expect(writeFileAtomically(path, interrupted())).rejects.toThrow('interrupted');
  expect(readFileSync(path, 'utf8')).toBe('before');
  expect(readdirSync(folder)).toEqual(['model.onnx']);
});

test('a model that cannot be encoded touches nothing', async () => {
  const model = { ...decodeModel(sample), irVersion: 9 } as unknown as ModelProto;
  await expect(writeModel(model, join(folder, 'model.onnx'))).rejects.toMatchObject({ code: 'invalid-value' });
  expect(readdirSync(folder)).toEqual([]);
});

test('a folder that is missing, a file in its place, a name taken by a folder', async () => {
  writeFileSync(join(folder, 'file'), '');
  mkdirSync(join(folder, 'taken.onnx'));
  const model = decodeModel(sample);
  const fails = async (path: string, message: RegExp) => {
    const error = await writeModel(model, join(folder, path)).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(OnnxError);
    expect(error).toMatchObject({
      code: 'io',
      where: { file: join(folder, path) },
      message: expect.stringMatching(message),
    });
  };
  await fails('missing/model.onnx', /no such file or folder/);
  await fails('file/model.onnx', /not a folder/);
  await fails('taken.onnx', /it is a folder/);
  expect(readdirSync(folder).sort()).toEqual(['file', 'taken.onnx']);
});

test('a full disk (needs the right to mount one)', async ({ skip }) => {
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    skip();
  }
  try {
    const model = decodeModel(sample);
    model.graph!.docString = 'x'.repeat(4e6);
    await expect(writeModel(model, join(disk, 'model.onnx'))).rejects.toMatchObject({
      code: 'io',
      message: expect.stringMatching(/model\.onnx: the file cannot be written: no space is left on the device/),
    });
    expect(readdirSync(disk)).toEqual([]);
  } finally {
    execFileSync('umount', [disk]);
  }
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s in the middle ends the process and leaves nothing', async (signal) => {
  execFileSync(process.execPath, [
    join(workspace, 'node_modules/typescript/bin/tsc'),
    '-b',
    join(workspace, 'packages/onnx'),
  ]);
  const path = join(folder, 'model.onnx');
  const script = `
    import { writeFileAtomically } from ${JSON.stringify(join(workspace, 'packages/onnx/dist/index.js'))};
    async function* endless() {
      for (;;) { yield new Uint8Array(2 ** 20); console.log('wrote'); await new Promise((done) => setTimeout(done, 5)); }
    }
    await writeFileAtomically(${JSON.stringify(path)}, endless());
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  expect(readdirSync(folder)).toHaveLength(1);
  child.kill(signal);
  const [, endedBy] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  expect(endedBy).toBe(signal);
  expect(readdirSync(folder)).toEqual([]);
});
