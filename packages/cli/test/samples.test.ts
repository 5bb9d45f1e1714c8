/** Every sample export through `rewrite --verify`: the counts of its meta.json, equality, and refusals. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeRuntime } from '@ort-dora/runtime';
import type { VerificationResult } from '@ort-dora/verify';
import { afterAll, describe, expect, test } from 'vitest';
import { ortDora, samples } from './support/program.js';

const folder = mkdtempSync(join(tmpdir(), 'samples-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Meta {
  readonly kind: 'linear' | 'embedding' | 'model' | 'trap' | 'corrupt';
  readonly expected_full?: number;
  readonly expected_compose_only?: number;
  readonly dora_modules?: readonly { readonly module: string; readonly r: number; readonly scaling: number }[];
  readonly tolerance: { readonly max_abs_over_absmax: number; readonly cosine_min: number } | null;
}

const all = readdirSync(samples).filter((name) => existsSync(join(samples, name, 'meta.json')));
const metaOf = (name: string): Meta => JSON.parse(readFileSync(join(samples, name, 'meta.json'), 'utf8'));
const ofKind = (...kinds: Meta['kind'][]) => all.filter((name) => kinds.includes(metaOf(name).kind));

interface Report {
  readonly modules: readonly { path: string; status: string; rank: number; scaling: number }[];
  readonly totals: Readonly<Record<string, number>>;
  readonly verification: VerificationResult;
}

test('the samples are all of a kind that is known here', () => {
  expect(ofKind('linear', 'embedding', 'model').length + ofKind('trap', 'corrupt').length).toBe(all.length);
  expect(all.length).toBeGreaterThanOrEqual(11);
});

describe.each(ofKind('linear', 'embedding', 'model'))('%s', (name) => {
  const meta = metaOf(name);
  const out = join(folder, `${name}.onnx`);
  const modules = meta.dora_modules!;

  test('every module is fused and proven equal, on stock ONNX Runtime and with the library', async () => {
    const model = join(samples, name, 'model.onnx');
    const { code, stdout } = await ortDora(
      'rewrite',
      model,
      out,
      '--verify',
      '--require',
      String(modules.length),
      '--json',
    );
    expect(code).toBe(0);
    const report: Report = JSON.parse(stdout);
    expect(report.totals).toMatchObject({
      fused: modules.length,
      full: meta.expected_full,
      composeOnly: meta.expected_compose_only,
      skipped: 0,
      already: 0,
    });
    const found = report.modules.map(({ path, rank, scaling }) => `${path} ${rank} ${scaling}`);
    expect(found.sort()).toEqual(modules.map(({ module, r, scaling }) => `${module} ${r} ${scaling}`).sort());

    const { verification } = report;
    expect(verification).toMatchObject({ passed: true, precision: 'own', unchecked: [] });
    const library = describeRuntime().opsLibrary.status === 'registered';
    expect(verification.executions).toEqual(library ? ['stock', 'library'] : ['stock']);
    expect(verification.modules).toHaveLength(modules.length);
    expect(verification.runs.every(({ skipped }) => skipped === null)).toBe(true);
    for (const output of verification.outputs) {
      expect(output.maxRelative).toBeLessThanOrEqual(meta.tolerance!.max_abs_over_absmax);
      expect(output.cosine).toBeGreaterThanOrEqual(meta.tolerance!.cosine_min);
    }
  });

  test('the recorded inputs give outputs within the tolerance of the sample', async () => {
    const inputs = join(samples, name, 'inputs.npz');
    const { code, stdout } = await ortDora(
      'verify',
      join(samples, name, 'model.onnx'),
      out,
      '--inputs',
      inputs,
      '--json',
    );
    expect([code, JSON.parse(stdout).passed]).toEqual([0, true]);
    expect(JSON.parse(stdout).modules).toHaveLength(modules.length);
  });

  test('the same bytes again, and nothing left to fuse in the result', async () => {
    const again = join(folder, `${name}-again.onnx`);
    expect((await ortDora('rewrite', join(samples, name, 'model.onnx'), again)).code).toBe(0);
    expect(readFileSync(again).equals(readFileSync(out))).toBe(true);
    const twice = join(folder, `${name}-twice.onnx`);
    const { code, stdout } = await ortDora('rewrite', out, twice, '--require', String(modules.length));
    expect(code).toBe(0);
    expect(stdout).toContain('fused before, nothing left to fuse');
    expect(readFileSync(twice).equals(readFileSync(out))).toBe(true);
  });

  test.each([['compose'], ['linear']])('--form %s with the norm computed at run time is equal too', async (form) => {
    const path = join(folder, `${name}-${form}-runtime.onnx`);
    const { code, stdout } = await ortDora(
      'rewrite',
      join(samples, name, 'model.onnx'),
      path,
      '--form',
      form,
      '--scale',
      'runtime',
      '--verify',
      '--json',
    );
    const report: Report = JSON.parse(stdout);
    expect(report.verification.summary).toMatch(/^verified/);
    expect(code).toBe(0);
  });
});

test.each(ofKind('trap'))('%s: an equivalent model, and nothing fused', async (name) => {
  const model = join(samples, name, 'model.onnx');
  const out = join(folder, `${name}.onnx`);
  const { code, stdout } = await ortDora('rewrite', model, out, '--verify');
  expect(code).toBe(0);
  expect(stdout).toContain('no DoRA module found, nothing was fused');
  expect(stdout).toContain('is equivalent to model.onnx');
  expect(stdout).toContain('outputs equal to the bit');
  expect(readFileSync(out).equals(readFileSync(model))).toBe(true);
  expect((await ortDora('rewrite', model, out, '--require', '1')).code).toBe(3);
});

test.each(ofKind('corrupt'))('%s: refused in one line, and no output', async (name) => {
  const out = join(folder, `${name}.onnx`);
  const { code, stdout, stderr } = await ortDora('rewrite', join(samples, name, 'model.onnx'), out, '--verify');
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^ort-dora: .*model\.onnx/);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(readdirSync(folder).filter((file) => file.includes(name))).toEqual([]);
  for (const command of [['inspect'], ['verify', join(samples, name, 'model.onnx')]]) {
    expect((await ortDora(...command, join(samples, name, 'model.onnx'))).code).toBe(1);
  }
});
