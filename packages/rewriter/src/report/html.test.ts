import { expect, test } from 'vitest';
import { reportPage } from './html.js';
import type { ModuleGraph } from './module-graph/module-graphs.js';
import type { PageContext } from './page/frame.js';
import type { FusedModuleReport, ModuleReport, RewriteReport, SkippedModuleReport } from './report.js';
import type { DetailedVerification } from './verification.js';
import { verificationPage } from './verification-page.js';

function fused(path: string, fields: Partial<FusedModuleReport> = {}): FusedModuleReport {
  return {
    path,
    adapter: 'default',
    kind: 'linear',
    scope: '',
    node: { name: 'node_add', opType: 'Add', output: 'y' },
    status: 'fused',
    reason: null,
    operator: 'DoraLinear',
    overload: 'f16_f32_bias',
    form: { norm: 'full', delta: 'equalEye', base: 'MatMul+Add' },
    rank: 8,
    scaling: 2,
    dtypes: { weight: 'float16', adapter: 'float32', magnitude: 'float32' },
    weightShape: [32, 640],
    bias: true,
    layouts: { transW: 0, transA: 0, transB: 0 },
    scale: 'stored',
    nodesRemoved: 25,
    nodesAdded: 1,
    bytesSaved: 1000,
    values: { x: 'x', y: 'y', base: 'y0', weight: 'W', loraA: 'A', loraB: 'B', magnitude: 'm', bias: 'b', gain: 'g' },
    ...fields,
  };
}

const skipped = (path: string, reason: string): SkippedModuleReport => ({
  path,
  adapter: null,
  kind: 'unknown',
  scope: '',
  node: { name: '', opType: 'Div', output: 'd' },
  status: 'skipped',
  reason,
  culprit: { name: 'node_gather', opType: 'Gather', output: 'rows' },
});

function report(modules: readonly ModuleReport[], verification?: DetailedVerification): RewriteReport {
  const count = (status: ModuleReport['status']) => modules.filter((module) => module.status === status).length;
  return {
    schemaVersion: 1,
    model: 'model.onnx',
    mode: 'rewrite',
    options: { form: 'linear', scale: 'auto', target: 'cuda', compact: false },
    producer: { name: 'pytorch', version: '2.13.0' },
    opset: 20,
    modules,
    totals: {
      modules: modules.length,
      fused: count('fused'),
      full: count('fused'),
      composeOnly: 0,
      skipped: count('skipped'),
      already: count('already'),
      nodesBefore: 669,
      nodesAfter: 240,
      bytesSaved: 123_456,
    },
    ...(verification && { verification }),
  };
}

function verification(modules: DetailedVerification['modules']): DetailedVerification {
  return {
    passed: modules.every(({ passed }) => passed),
    outputs: [
      { name: 'logits', maxRelative: 1.2e-4, cosine: 0.99999998, passed: true, reason: 'distance 1.0e-3 ≤ 2.0e-3' },
    ],
    modules,
  };
}

const errors = (path: string, errorOriginal: number, errorRewritten: number, passed = true) => ({
  path,
  adapter: 'default',
  errorOriginal,
  errorRewritten,
  limit: 2 * errorOriginal,
  passed,
  reason: passed ? '' : 'error exceeds twice the original’s',
});

const text = (page: string) =>
  page
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ');

test('says what was fused, what was not and why, and how equal it is', () => {
  const page = reportPage(
    report(
      [
        fused('layers.0.q_proj'),
        fused('layers.0.k_proj', { adapter: 'second' }),
        skipped('embed', 'an Embedding is not fused yet'),
      ],
      verification([
        errors('layers.0.q_proj', 1e-3, 5e-4),
        { ...errors('layers.0.k_proj', 1e-3, 4e-3, false), adapter: 'second' },
      ]),
    ),
    {
      command: 'ort-dora rewrite model.onnx out.onnx',
      versions: { 'ONNX Runtime': '1.30.0' },
      bytes: { before: 2e6, after: 1.5e6 },
    },
  );
  const words = text(page);
  expect(words).toContain('2 of 3 DoRA modules are fused.');
  expect(words).toContain('an Embedding is not fused yet ( Gather node_gather)');
  expect(words).toContain('verification failed');
  expect(words).toContain('4.00×');
  expect(words).toContain('error exceeds twice the original’s');
  expect(words).toContain('1.5 MB −25 %, from 2 MB');
  expect(words).toContain('−64 %');
  expect(words).toContain('ort-dora rewrite model.onnx out.onnx');
  expect(page.match(/<a href="#module-\d+" class="module failed">/g)).toHaveLength(1);
});

test('escapes whatever a model brings', () => {
  const hostile = `</code><script>alert(1)</script>"'&\u202Eevil\u0000`;
  const module = fused(`layers.0.${hostile}`, { adapter: hostile });
  const page = reportPage(
    {
      ...report([module, skipped(hostile, hostile)], {
        ...verification([{ ...errors(module.path, 1e-3, 1, false), adapter: hostile, reason: hostile }]),
        notes: [hostile],
      }),
      model: hostile,
      producer: { name: hostile, version: hostile },
    },
    { command: hostile, versions: { [hostile]: hostile } },
  );
  expect(page).not.toContain('<script');
  for (const hidden of ['\u202E', '\u0000']) expect(page).not.toContain(hidden);
  expect(page).toContain('&lt;script&gt;');
});

test('loads nothing from anywhere', () => {
  const page = reportPage(report([fused('a.b')], verification([errors('a.b', 1e-6, 1e-6)])));
  expect(page).not.toMatch(/<(script|link|img|iframe|object)|url\(|@import|https?:/i);
  expect(page).toContain(`default-src 'none'`);
});

test('a model without DoRA, an inspection, and one that was not verified', () => {
  expect(text(reportPage(report([])))).toContain('No DoRA module was found; nothing was fused.');
  expect(text(reportPage({ ...report([fused('a')]), mode: 'inspect' }))).toContain('1 of 1 DoRA module can be fused.');
  expect(text(reportPage(report([fused('a')])))).toContain('not verified');
});

test('what was run is said: how, on which inputs, and which were not used', () => {
  const runs = [
    { inputs: { ids: [2, 7] }, leftPadding: [0, 2], skipped: null },
    { inputs: { ids: [0, 7] }, skipped: 'Reshape failed' },
  ];
  const details = {
    executions: ['stock', 'library'],
    runs,
    unchecked: [{ path: 'in.branch', adapter: null, reason: 'it is in an If' }],
  };
  const words = text(reportPage(report([fused('a')], { ...verification([errors('a', 1e-6, 1e-6)]), ...details })));
  expect(words).toContain(
    'on stock ONNX Runtime, its operators inlined from the functions in the file, and with the operator library’s kernels.',
  );
  expect(words).toContain('2 sets of inputs');
  expect(words).toContain('ids [2, 7] padded on the left by 0, 2');
  expect(words).toContain('not used: Reshape failed');
  expect(words).toContain('in.branch was judged with the whole model only: it is in an If');
});

test('errors of zero and errors that are no number are drawn, not dropped', () => {
  const page = reportPage(
    report([fused('a'), fused('b')], verification([errors('a', 0, 0), errors('b', 1e-7, Number.NaN, false)])),
  );
  expect(page).not.toMatch(/c[xy]="(NaN|Infinity)"/);
  expect(page.match(/<circle class="rewritten"/g)!.length).toBe(4);
});

test('a module that could not be judged by itself says so in its row', () => {
  const inBranch = fused('layers.0.o_proj', { scope: 'If_3.then_branch' });
  const details = {
    ...verification([{ ...errors('layers.0.q_proj', 1e-6, 1e-6), inputs: 'generated' as const }]),
    unchecked: [{ path: inBranch.path, adapter: 'default', scope: inBranch.scope, reason: 'it is in an If' }],
  };
  const words = text(reportPage(report([fused('layers.0.q_proj'), inBranch], details)));
  expect(words).toMatch(/o_proj linear 8 2 .* not by itself fused Judged with the whole model only: it is in an If/);
  expect(words).toContain('Those of 1 module inside subgraphs and functions were generated.');
});

test('448 modules: several rows of the chart that break between layers, a fold a layer, open where something is wrong', () => {
  const names = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
  const paths = Array.from({ length: 64 }, (_, layer) => names.map((name) => `model.layers.${layer}.${name}`)).flat();
  const figures = paths.map((path, index) => errors(path, 1e-6, index === 300 ? 9e-6 : 1e-6, index !== 300));
  const page = reportPage(
    report([...paths.map((path) => fused(path)), skipped('lm_head', 'W differs')], verification(figures)),
  );
  const charts = page.match(/<svg class="error-chart"[\s\S]*?<\/svg>/g)!;
  const columns = charts.map((chart) => chart.match(/class="module/g)!.length);
  expect(columns.length).toBeGreaterThan(2);
  expect(columns.reduce((a, b) => a + b)).toBe(448);
  expect(columns.every((count) => count % 7 === 0)).toBe(true);
  for (const layer of [0, 31, 63]) expect(text(charts.join(''))).toContain(` ${layer} `);
  expect(page.match(/<details class="layer"/g)).toHaveLength(65);
  const open = page.match(/<details class="layer" open><summary><code>[^<]*/g)!.map((fold) => fold.split('>').at(-1));
  expect(open).toEqual([`model.layers.${Math.floor(300 / 7)}`, 'the model itself']);
});

const nodes: ModuleGraph['before']['nodes'] = [
  { part: 'value', label: 'x', name: 'x', notes: ['graph input'], sources: [] },
  { part: 'operator', label: 'DoraLinear', name: 'node', notes: ['W 4×4 float32'], sources: [0] },
  { part: 'value', label: 'y', name: 'y', notes: ['graph output'], sources: [1] },
];

test('graphs: one is shown, those of other forms are folded, and names of any length keep their boxes small', () => {
  const hostile = `</title><script>${'y'.repeat(5000)}`;
  const named = nodes.map((node) => ({ ...node, label: hostile, name: hostile, notes: [hostile] }));
  const graph = (path: string, part = nodes): ModuleGraph => ({
    path,
    adapter: 'second',
    form: path,
    before: { nodes: part, isPart: true },
    after: { nodes, isPart: false },
  });
  const page = reportPage(report([fused('a')]), { graphs: [graph('a.b'), graph(hostile, named)] });
  expect(text(page)).toContain('Before more than 1 node: DoraLinear');
  expect(text(page)).toContain('A module of another form:');
  expect(page).not.toContain('<script');
  expect(page.length).toBeLessThan(40_000);
  for (const [, width] of page.matchAll(/<svg class="graph" width="(\d+)"/g)) expect(Number(width)).toBeLessThan(400);
});

test('a verification of two files has a page of its own', () => {
  const page = (passed: boolean) =>
    verificationPage({
      original: 'a.onnx',
      rewritten: 'b.onnx',
      modules: [fused('layers.0.q_proj')],
      verification: {
        ...verification([errors('layers.0.q_proj', 1e-6, passed ? 1e-6 : 5e-6, passed)]),
        summary: 'the result',
        runs: [{ inputs: { x: [1] }, skipped: null }],
      },
    });
  expect(text(page(true))).toContain('b.onnx Against a.onnx , on the same inputs. The result.');
  expect(text(page(true))).toContain('Outputs equal 1 of 1 on 1 set of inputs');
  expect(text(page(true))).toContain('verified');
  expect(text(page(false))).toContain('verification failed');
  expect(text(page(false))).toContain('Worst module error 5.00×');
  expect(page(true)).not.toMatch(/schema version|undefined|NaN/);
});

test('the same report gives the same page, and a long name does not fill it', () => {
  const long = report([fused('x'.repeat(100_000))]);
  const context: PageContext = {};
  expect(reportPage(long, context)).toBe(reportPage(long, context));
  expect(reportPage(long, context).length).toBeLessThan(30_000);
});
