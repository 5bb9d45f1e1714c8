/** What is on disk after a rewrite: reports, folders, and nothing half-written, however it ends. */

import { spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { decodeModel, encodeModel, setExternalLocation } from '@ort-dora/onnx';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ortDora, samples } from './support/program.js';

const linear = join(samples, 'c05_linear_bias_dynamo_640', 'model.onnx');
const vlm = join(samples, 'm10b_smolvlm_dynamo_mixed', 'model.onnx');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'files-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** The sample, its weights in a file beside it. */
function writeWithExternalData(path: string, location: string): void {
  const model = decodeModel(new Uint8Array(readFileSync(linear)));
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const tensor of model.graph!.initializer.filter(({ rawData }) => rawData && rawData.length > 1000)) {
    const data = tensor.rawData!;
    setExternalLocation(tensor, { location, offset, length: data.length });
    chunks.push(data);
    offset += data.length;
  }
  writeFileSync(path, encodeModel(model));
  writeFileSync(join(path, '..', location), Buffer.concat(chunks));
}

test('reports: JSON as printed, a page that stands by itself, folders made', async () => {
  const [out, json, html] = ['m/out.onnx', 'r/report.json', 'r/report.html'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const { code, stdout } = await ortDora(
    'rewrite',
    linear,
    out,
    '--verify',
    '--report',
    json,
    '--html',
    html,
    '--json',
  );
  expect(code).toBe(0);
  const report = JSON.parse(readFileSync(json, 'utf8'));
  expect(JSON.parse(stdout)).toEqual({ ...report, output: out });
  expect(report).toMatchObject({
    modules: [{ path: 'q_proj', kind: 'linear', status: 'fused', rank: 16, scaling: 2, dtypes: { weight: 'float32' } }],
    totals: { modules: 1, fused: 1 },
    verification: { passed: true },
  });
  const page = readFileSync(html, 'utf8');
  expect(page).toContain('1 of 1 DoRA module is fused.');
  expect(page).toContain(`ort-dora rewrite ${linear} ${out} --report ${json} --html ${html} --verify`);
  expect(page).not.toMatch(/https?:\/\//);
  expect(readdirSync(folder).sort()).toEqual(['m', 'r']);
  expect(readdirSync(join(folder, 'r')).sort()).toEqual(['report.html', 'report.json']);
});

test('--require is judged after the file is written, and says what was there', async () => {
  const out = join(folder, 'out.onnx');
  const { code, stderr } = await ortDora('rewrite', linear, out, '--require', '2');
  expect(code).toBe(3);
  expect(stderr).toContain('1 module fused where --require asks for 2');
  expect(existsSync(out)).toBe(true);
});

test('the input is never the output', async () => {
  const own = join(folder, 'model.onnx');
  copyFileSync(linear, own);
  const { code, stderr } = await ortDora('rewrite', own, own);
  expect(code).toBe(1);
  expect(stderr).toMatch(/the output is the input itself/);
  expect(readFileSync(own).equals(readFileSync(linear))).toBe(true);
  expect((await ortDora('rewrite', folder, folder)).stderr).toContain('OUT is the input itself');
});

test('an output that cannot be written is one line and leaves nothing', async () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const { code, stderr } = await ortDora('rewrite', linear, join(file, 'out.onnx'));
  expect(code).toBe(1);
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^ort-dora: /);
  expect(readdirSync(folder)).toEqual(['file']);
});

test('a folder: every model, its weights, and copies of the rest', async () => {
  const model = join(folder, 'model');
  mkdirSync(join(model, 'onnx'), { recursive: true });
  writeFileSync(join(model, 'config.json'), '{}');
  copyFileSync(vlm, join(model, 'onnx', 'vlm.onnx'));
  writeWithExternalData(join(model, 'onnx', 'linear.onnx'), 'linear.onnx_data');
  const out = join(folder, 'out');
  const { code, stdout } = await ortDora(
    'rewrite',
    model,
    out,
    '--verify',
    '--require',
    '28',
    '--json',
    '--html',
    join(folder, 'r.html'),
  );
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report.totals).toMatchObject({ modules: 28, fused: 28 });
  expect(report.models).toHaveLength(2);
  expect(report.modules[0].path).toBe('onnx/linear.onnx: q_proj');
  expect(report.verification).toMatchObject({ passed: true, unchecked: [] });
  expect(readFileSync(join(folder, 'r.html'), 'utf8')).toContain('28 of 28 DoRA modules are fused.');
  const files = readdirSync(out, { recursive: true }).sort();
  expect(files).toEqual(['config.json', 'onnx', 'onnx/linear.onnx', 'onnx/linear.onnx_data', 'onnx/vlm.onnx']);
  expect(readdirSync(folder).sort()).toEqual(['model', 'out', 'r.html']);

  const inspected = await ortDora('inspect', out);
  expect(inspected.stdout).toContain('28 DoRA modules fused before, nothing left to fuse');
  expect((await ortDora('rewrite', model, out)).code).toBe(0);
  expect(readdirSync(out, { recursive: true }).sort()).toEqual(files);
});

test('a folder with one bad model leaves no output at all', async () => {
  const model = join(folder, 'model');
  mkdirSync(model);
  copyFileSync(linear, join(model, 'a.onnx'));
  copyFileSync(join(samples, 't7_truncated', 'model.onnx'), join(model, 'b.onnx'));
  const { code, stderr } = await ortDora('rewrite', model, join(folder, 'out'));
  expect(code).toBe(1);
  expect(stderr).toContain('b.onnx');
  expect(readdirSync(folder)).toEqual(['model']);
});

test('--compact stores what is used, once', async () => {
  const legacy = join(samples, 'c01b_linear_bias_legacy_fold_640', 'model.onnx');
  const out = join(folder, 'out.onnx');
  expect((await ortDora('rewrite', legacy, out, '--compact', '--verify')).code).toBe(0);
  expect(readFileSync(out).length).toBeLessThan(readFileSync(legacy).length * 0.7);
});

test('stopped at any moment, a rewrite leaves the whole output or none', { timeout: 120_000 }, async () => {
  const program = fileURLToPath(new URL('../dist/main.js', import.meta.url));
  const whole = join(folder, 'whole.onnx');
  expect((await ortDora('rewrite', vlm, whole)).code).toBe(0);
  const work = join(folder, 'work');
  const endings = new Set<string>();
  for (const delay of [150, 300, 400, 500, 600, 700, 850, 1000, 1500]) {
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work);
    const out = join(work, 'out.onnx');
    const child = spawn(
      process.execPath,
      [program, 'rewrite', vlm, out, '--verify', '--report', join(work, 'r.json')],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let stderr = '';
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    const ended = new Promise<string>((resolve) => child.on('close', (code, signal) => resolve(`${code ?? signal}`)));
    await Promise.race([sleep(delay), ended]);
    child.kill('SIGINT');
    const ending = await ended;
    endings.add(ending);
    // 130: stopped while at work; SIGINT: before the program had begun; 0: done before.
    expect(['130', 'SIGINT', '0'], stderr).toContain(ending);
    if (ending === '130') expect(stderr).toContain('ort-dora: stopped; nothing was left half-written');
    for (const file of readdirSync(work)) expect(['out.onnx', 'r.json']).toContain(file);
    if (existsSync(out)) expect(readFileSync(out).equals(readFileSync(whole))).toBe(true);
  }
  expect(endings).toContain('130');
});
