import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeModel, encodeModel } from '@ort-dora/onnx';
import { afterAll, expect, test } from 'vitest';
import { run } from './program.js';

const samples = new URL('../../../models/fixtures/samples/', import.meta.url).pathname;
const linear = `${samples}c05_linear_bias_dynamo_640/model.onnx`;
const folder = mkdtempSync(join(tmpdir(), 'cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function ortDora(...argv: string[]) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await run(argv, {
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
    signal: new AbortController().signal,
  });
  return { code, stdout: out.join(''), stderr: err.join('') };
}

/** Bad usage is one line that says what and where to look. */
test.each([
  [['rewrite', linear, 'out.onnx', '--frobnicate'], "unknown option '--frobnicate'"],
  [['frobnicate'], "unknown command 'frobnicate'"],
  [['rewrite', linear], "missing required argument 'OUT'"],
  [['rewrite', linear, 'a.onnx', 'b.onnx'], 'too many arguments'],
  [['rewrite', linear, 'out.onnx', '--scale', 'sometimes'], "argument 'sometimes' is invalid"],
  [['rewrite', linear, 'out.onnx', '--require', 'all'], 'it must be a whole number'],
  [['rewrite', linear, 'out.onnx', '--require', '-1'], 'it must be a whole number'],
  [['verify', linear, linear, '--tolerance', 'some'], 'it must be a number of at least 0'],
  [['serve', linear, '--port', '99999'], 'it must be a port'],
])('usage: %j', async (argv, message) => {
  const { code, stdout, stderr } = await ortDora(...argv);
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain(message);
  expect(stderr).toMatch(/^ort-dora: [^\n]*\n$/);
});

test('no command: the help, and exit code 2', async () => {
  const { code, stderr } = await ortDora();
  expect(code).toBe(2);
  expect(stderr).toContain('Usage: ort-dora');
});

test('help and version are answers', async () => {
  const help = await ortDora('rewrite', '--help');
  expect(help.code).toBe(0);
  for (const flag of [
    '--report',
    '--html',
    '--verify',
    '--require',
    '--scale',
    '--form',
    '--target',
    '--compact',
    '--json',
  ]) {
    expect(help.stdout).toContain(flag);
  }
  expect(await ortDora('--version')).toMatchObject({ code: 0, stdout: '0.1.0\n', stderr: '' });
});

test.each([
  ['missing', join(folder, 'missing.onnx'), 'missing.onnx cannot be read'],
  ['empty folder', folder, 'holds no .onnx file'],
])('a model that is not there (%s) is one plain line and exit code 1', async (_name, model, message) => {
  for (const argv of [
    ['inspect', model],
    ['rewrite', model, join(folder, 'out.onnx')],
    ['verify', model, model],
    ['serve', model],
  ]) {
    const { code, stdout, stderr } = await ortDora(...argv);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^ort-dora: [^\n]*\n$/);
  }
});

test('verify: equal models', async () => {
  const { code, stdout, stderr } = await ortDora('verify', linear, linear);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^OUTPUT +TYPE +MAX/);
  expect(stdout).toContain("verified: worst module error 1.00× the original's, outputs equal to the bit");
  expect(stderr).toBe('verifying\n');
});

test('verify: JSON, given inputs', async () => {
  const npz = `${samples}c05_linear_bias_dynamo_640/inputs.npz`;
  const { code, stdout } = await ortDora('verify', linear, linear, '--inputs', npz, '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ passed: true, outputs: [{ name: 'y', maxAbs: 0 }] });
});

test('verify: unequal models end with 3, and with 0 under a tolerance', async () => {
  const model = decodeModel(new Uint8Array(readFileSync(linear)));
  const bias = model.graph!.initializer.find(({ name }) => name?.endsWith('base_layer.bias'))!;
  bias.rawData = new Uint8Array(bias.rawData!.length);
  const other = join(folder, 'other.onnx');
  writeFileSync(other, encodeModel(model));
  const { code, stdout, stderr } = await ortDora('verify', linear, other);
  expect(code).toBe(3);
  expect(stdout).toContain('NOT EQUAL');
  expect(stderr).toContain(`${other} against ${linear}: not equal: module q_proj: `);
  expect((await ortDora('verify', linear, other, '--tolerance', '1e6')).code).toBe(0);
});

test('verify: an .npz that does not fit ends with 1', async () => {
  const npz = `${samples}m10b_smolvlm_dynamo_mixed/inputs.npz`;
  const { code, stderr } = await ortDora('verify', linear, linear, '--inputs', npz);
  expect(code).toBe(1);
  expect(stderr).toContain('has no array "x"');
});

test("verify: sizes of symbolic dimensions are taken, and must be the inputs' own", async () => {
  const cached = `${samples}m13_llama_kvcache_dynamo/model.onnx`;
  const { code, stdout } = await ortDora('verify', cached, cached, '--dim', 'batch=3', '--json');
  expect(code).toBe(0);
  const { runs } = JSON.parse(stdout);
  expect(runs[0]).toMatchObject({ inputs: { input_ids: [3, 4] }, leftPadding: [0, 2, 4] });
  const wrong = await ortDora('verify', cached, cached, '--dim', 'btach=3');
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('no input has a dimension "btach"; the symbolic ones are ');
  expect((await ortDora('verify', cached, cached, '--dim', 'batch')).code).toBe(2);
});

test('doctor says what is there', async () => {
  const text = await ortDora('doctor');
  expect(text.code).toBe(0);
  for (const name of ['Node.js', 'ONNX Runtime', 'native addon', 'operator library', 'CUDA provider']) {
    expect(text.stdout).toContain(name);
  }
  const { stdout } = await ortDora('doctor', '--json');
  expect(JSON.parse(stdout)).toMatchObject({ version: '0.1.0', onnxruntime: { version: '1.30.0' } });
});

test('ops-library prints a path, or says how to get one', async () => {
  const { code, stdout, stderr } = await ortDora('ops-library', '--json');
  if (code === 0) expect(readFileSync(JSON.parse(stdout).path).length).toBeGreaterThan(1000);
  else expect(stderr).toMatch(/the operator library .*(npm run setup|reinstall)/);
});
