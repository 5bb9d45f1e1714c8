/** The graphs that the page draws, of real exports before and after their rewrite. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type ModuleGraph, readModuleGraphs, reportPage, rewriteModel } from '../src/index.js';
import { SAMPLES, sample } from './support/samples.js';

const folder = mkdtempSync(join(tmpdir(), 'module-graphs-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function graphsOf(prefix: string): Promise<{ graphs: ModuleGraph[]; page: string }> {
  const { name, path } = sample(prefix);
  const rewritten = join(folder, `${name}.onnx`);
  const { report } = await rewriteModel(path, rewritten);
  const graphs = await readModuleGraphs(path, rewritten, report.modules);
  return { graphs, page: reportPage(report, { graphs }) };
}

const labels = ({ nodes }: ModuleGraph['before'], part: string) =>
  nodes.filter((node) => node.part === part).map(({ label }) => label);

describe.each(SAMPLES.filter(({ meta }) => meta.should_match))('$name', ({ name }) => {
  test('goes from x to y; before, every part is there; after, one operator', async () => {
    const { graphs, page } = await graphsOf(name);
    expect(graphs.length).toBeGreaterThan(0);
    for (const { before, after } of graphs) {
      for (const { nodes, isPart } of [before, after]) {
        expect(isPart).toBe(false);
        expect(nodes.filter(({ label, part }) => part === 'value' && label === 'x')).toHaveLength(1);
        expect(nodes.at(-1)).toMatchObject({ part: 'value', label: 'y' });
        // Every value that a node reads is drawn above it.
        for (const [index, { sources }] of nodes.entries())
          expect(sources.every((source) => source >= 0 && source < index)).toBe(true);
      }
      expect(labels(before, 'adapter').length).toBeGreaterThan(0);
      expect(labels(before, 'composition').length).toBeGreaterThan(2);
      expect(labels(after, 'operator')).toHaveLength(1);
    }
    expect(page.match(/<svg class="graph"/g)).toHaveLength(2 * graphs.length);
    expect(page).not.toMatch(/NaN|undefined/);
  });
});

test('parts are told apart, and stored tensors by their letters', async () => {
  const [graph] = (await graphsOf('c01b')).graphs;
  const { before, after } = graph!;
  expect(labels(before, 'layer')).toEqual(['MatMul', 'Add']);
  expect(labels(before, 'adapter').sort()).toEqual(['Identity', 'Identity', 'MatMul', 'MatMul']);
  expect(labels(before, 'norm')).toContain('ReduceL2');
  expect(labels(before, 'composition')).not.toContain('MatMul');
  expect(before.nodes.find(({ label }) => label === 'Div')!.notes).toEqual(['m 32 float32']);
  expect(after.nodes.find(({ part }) => part === 'operator')!.notes.map((note) => note.split(' ')[0])).toEqual([
    'W',
    'A',
    'B',
    'g',
    'b',
  ]);
});

test('a model of several forms shows one module of each, the worst first', async () => {
  const { path } = sample('m10b');
  const rewritten = join(folder, 'worst.onnx');
  const { report } = await rewriteModel(path, rewritten);
  const errors = report.modules.map((module, index) => ({
    path: module.path,
    adapter: module.adapter,
    errorOriginal: 1e-3,
    errorRewritten: index === 20 ? 2e-3 : 1e-3,
    passed: true,
  }));
  const graphs = await readModuleGraphs(path, rewritten, report.modules, { modules: errors });
  expect(graphs[0]!.path).toBe(report.modules[20]!.path);
  expect(new Set(graphs.map(({ form }) => form)).size).toBe(graphs.length);
  expect(graphs.length).toBeGreaterThan(1);
});
