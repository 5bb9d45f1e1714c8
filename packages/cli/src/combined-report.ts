/** The reports of a folder's models as one. */

import { basename } from 'node:path';
import type { ReportTotals, RewriteReport } from '@ort-dora/rewriter';
import type { VerificationResult } from '@ort-dora/verify';
import type { ModelSet } from './models.js';

/** What is known of one model of a set. */
export interface NamedReport {
  /** The model's name within its folder. */
  readonly name: string;
  readonly report: RewriteReport;
  readonly verification?: VerificationResult;
}

/** A report with the whole result of its verification. */
export type FullReport = Omit<RewriteReport, 'verification'> & {
  readonly verification?: VerificationResult;
  /** Of a folder: the report of each file. */
  readonly models?: readonly FullReport[];
};

/** One model's report as it is; a folder's as one of the same form, whose modules and outputs say which file they are in. */
export function combine({ kind, root }: Pick<ModelSet, 'kind' | 'root'>, reports: readonly NamedReport[]): FullReport {
  const models = reports.map(fullReport);
  const [first] = models;
  if (first === undefined) throw new RangeError('there are no reports to combine');
  if (kind === 'file') return first;
  const verification = combineVerifications(reports);
  return {
    ...first,
    model: basename(root),
    modules: reports.flatMap(({ name, report }) => report.modules.map((module) => inFile(name, module))),
    totals: models.map(({ totals }) => totals).reduce(sum),
    ...(verification && { verification }),
    models,
  };
}

function fullReport({ report, verification }: NamedReport): FullReport {
  const { verification: _, ...own } = report;
  return verification ? { ...own, verification } : own;
}

export const inFile = <T extends { readonly path: string }>(name: string, module: T): T => ({
  ...module,
  path: `${name}: ${module.path}`,
});

function sum(a: ReportTotals, b: ReportTotals): ReportTotals {
  return {
    modules: a.modules + b.modules,
    fused: a.fused + b.fused,
    full: a.full + b.full,
    composeOnly: a.composeOnly + b.composeOnly,
    skipped: a.skipped + b.skipped,
    already: a.already + b.already,
    nodesBefore: a.nodesBefore + b.nodesBefore,
    nodesAfter: a.nodesAfter + b.nodesAfter,
    bytesSaved: a.bytesSaved + b.bytesSaved,
  };
}

function combineVerifications(reports: readonly NamedReport[]): VerificationResult | undefined {
  const verified = reports.flatMap(({ name, verification }) => (verification ? [{ name, ...verification }] : []));
  const [first] = verified;
  if (first === undefined) return undefined;
  const failed = verified.filter(({ passed }) => !passed);
  return {
    passed: failed.length === 0,
    summary: (failed.length > 0 ? failed : verified).map(({ name, summary }) => `${name}: ${summary}`).join('; '),
    executions: [...new Set(verified.flatMap(({ executions }) => executions))],
    precision: verified.some(({ precision }) => precision === 'float32') ? 'float32' : 'own',
    seed: first.seed,
    runs: verified.flatMap(({ runs }) => runs),
    outputs: verified.flatMap(({ name, outputs }) =>
      outputs.map((output) => ({ ...output, name: `${name}: ${output.name}` })),
    ),
    modules: verified.flatMap(({ name, modules }) => modules.map((module) => inFile(name, module))),
    unchecked: verified.flatMap(({ name, unchecked }) => unchecked.map((module) => inFile(name, module))),
    notes: verified.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`)),
  };
}

/** Modules of the report that are ort.dora operators now, whenever they were fused. */
export const fusedModules = ({ totals }: FullReport) => totals.fused + totals.already;
