import { expect, it } from 'vitest';
import { mergePage } from './merge-page.js';
import { type MergedModuleReport, type MergeReport, mergeTotals, type UnmergedModuleReport } from './merge-report.js';

const identity = (path: string) => ({
  path,
  adapter: 'default',
  scope: '',
  node: { name: '', opType: 'DoraLinear', output: 'y' },
});

const merged = (path: string, fields: Partial<MergedModuleReport> = {}): MergedModuleReport => ({
  ...identity(path),
  status: 'merged',
  reason: null,
  kind: 'linear',
  adapters: 1,
  rank: 8,
  scaling: 2,
  dtypes: { weight: 'float16', adapter: 'float32' },
  weightShape: [640, 640],
  rounding: { max: 3.4e-4, rms: 2.1e-4 },
  fused: { weightBytes: 800_000, adapterBytes: 50_000, flopsPerRow: 1000 },
  merged: { weightBytes: 800_000, adapterBytes: 0, flopsPerRow: 900 },
  ...fields,
});

const skipped = (path: string, reason: string): UnmergedModuleReport => ({
  ...identity(path),
  status: 'skipped',
  reason,
});

const report = (modules: MergeReport['modules']): MergeReport => ({
  schemaVersion: 1,
  model: 'model.onnx',
  mode: 'merge',
  options: { compact: false },
  producer: { name: 'pytorch', version: '2.15.0' },
  opset: 20,
  modules,
  totals: mergeTotals(modules, 30, 20),
});

it('says what merging costs and saves', () => {
  const page = mergePage(report([merged('layers.0.q'), merged('layers.1.q', { rounding: { max: 5e-4, rms: 1e-4 } })]));
  expect(page).toContain('2 layers have one weight again');
  expect(page).toContain('a copy of every merged weight; not merged, 100 kB of A, B and g');
  expect(page).toContain('<div class="figure">1.6 MB</div>');
  expect(page).toContain('<div class="figure">−10 %</div>');
  expect(page).toContain('<div class="figure">5.0e−4</div>');
});

it('says what was not merged, and which weights are those of others', () => {
  const page = mergePage(
    report([merged('fc', { rounding: null, adapters: 2 }), skipped('head', 'its base is quantized')]),
  );
  expect(page).toContain('1 other could not be merged and stayed as it was');
  expect(page).toContain('not merged: its base is quantized');
  expect(page).toContain('the weight of another module');
  expect(page).toContain('linear, 2 adapters');
});

it('is a page of an empty report, too', () => {
  expect(mergePage(report([]))).toContain('No adapter was found in this model; nothing was merged.');
});

it('escapes what came from the file', () => {
  const page = mergePage({ ...report([skipped('<script>', '<img onerror=x>')]), model: '"><b>' }, { command: '<i>' });
  expect(page).not.toMatch(/<script>|<img|<b>|<i>/);
  expect(page).not.toMatch(/https?:/);
});
