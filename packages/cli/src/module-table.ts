/** The modules of a report as a table for a terminal. */

import type { ModuleReport, RewriteReport } from '@ort-dora/rewriter';
import type { VerificationResult } from '@ort-dora/verify';
import { type Column, count, table } from './table.js';

interface Row {
  readonly module: ModuleReport;
  readonly error: VerificationResult['modules'][number] | undefined;
}

const columns: readonly Column<Row>[] = [
  { title: 'MODULE', value: ({ module }) => module.path },
  { title: 'ADAPTER', value: ({ module }) => (module.adapter === 'default' ? '' : (module.adapter ?? '')) },
  { title: 'KIND', value: ({ module }) => module.kind },
  {
    title: 'RANK',
    align: 'right',
    value: ({ module }) => (module.status === 'fused' ? String(module.rank ?? 'any') : ''),
  },
  { title: 'SCALING', align: 'right', value: ({ module }) => scalingOf(module) },
  { title: 'TYPES', value: ({ module }) => typesOf(module) },
  { title: 'EXPORTED AS', value: ({ module }) => formOf(module) },
  { title: 'ERROR', align: 'right', value: ({ error }) => (error ? ratio(error.ratio) : '') },
  { title: 'STATUS', value: ({ module, error }) => statusOf(module, error) },
];

/** One line for each module, under a line of titles. */
export function moduleTable(report: RewriteReport, verification?: VerificationResult): string[] {
  const key = (module: { path: string; adapter: string | null; scope: string }) =>
    JSON.stringify([module.scope, module.path, module.adapter]);
  const errors = new Map(verification?.modules.map((module) => [key(module), module]));
  return table(
    report.modules.map((module) => ({ module, error: errors.get(key(module)) })),
    columns,
  );
}

const ratio = (value: number) => `${value < 1000 ? value.toFixed(2) : value.toExponential(0)}×`;

/** `27 of 27 DoRA modules fused (15 with the norm in the graph, 12 with it folded)`. */
export function moduleSummary({ totals, mode }: Pick<RewriteReport, 'totals' | 'mode'>): string {
  const { modules, fused, full, composeOnly, skipped, already } = totals;
  if (mode === 'attach') return `${count(fused, 'layer')} adapted`;
  const fusedNow = mode === 'inspect' ? 'can be fused' : 'fused';
  if (modules === 0) return 'no DoRA module found, nothing was fused';
  if (already === modules) return `${count(already, 'DoRA module')} fused before, nothing left to fuse`;
  const parts = [
    full > 0 && composeOnly > 0 && `${full} with the norm in the graph, ${composeOnly} with it folded`,
    already > 0 && `${already} fused before`,
    skipped > 0 && `${skipped} left alone`,
  ].filter(Boolean);
  return `${fused} of ${count(modules, 'DoRA module')} ${fusedNow}${parts.length > 0 ? ` (${parts.join('; ')})` : ''}`;
}

function scalingOf(module: ModuleReport): string {
  return module.status === 'skipped' || module.scaling === null ? '' : String(Number(module.scaling.toPrecision(6)));
}

function typesOf(module: ModuleReport): string {
  if (module.status !== 'fused') return '';
  const { weight, adapter } = module.dtypes;
  return weight === adapter ? weight : `${weight}+${adapter}`;
}

function formOf(module: ModuleReport): string {
  if (module.status !== 'fused') return '';
  const { norm, delta, base } = module.form;
  if (norm === 'attached') return base;
  return `${base}, ${norm === 'composeOnly' ? 'norm folded' : (delta ?? 'norm')}`;
}

function statusOf(module: ModuleReport, error: Row['error']): string {
  switch (module.status) {
    case 'fused':
      return error && !error.passed ? 'NOT EQUAL' : module.operator;
    case 'already':
      return `${module.operator}, from before`;
    case 'skipped':
      return `left alone: ${module.reason}`;
  }
}
