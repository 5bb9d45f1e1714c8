/** The reports of a folder's models as one. */

import { basename } from 'node:path';
import type { ModuleReport, ReportTotals, RewriteReport } from '@ort-dora/rewriter';
import type { VerificationResult } from '@ort-dora/verify';
import type { ModelSet } from './models.js';

/** The report of one model of a set. */
export interface NamedReport {
  /** The model's name within its folder. */
  readonly name: string;
  readonly report: RewriteReport & { readonly verification?: VerificationResult };
}

/** One model's report as it is; a folder's as one of the same form, whose modules and outputs say which file they are in. */
export type CombinedReport = RewriteReport & {
  readonly verification?: VerificationResult;
  /** Of a folder: the report of each file. */
  readonly models?: readonly NamedReport['report'][];
};

export function combine(
  { kind, root }: Pick<ModelSet, 'kind' | 'root'>,
  reports: readonly NamedReport[],
): CombinedReport {
  const first = reports[0]!.report;
  if (kind === 'file') return first;
  return {
    ...first,
    model: basename(root),
    modules: reports.flatMap(({ name, report }) => report.modules.map((module) => inFile(name, module))),
    totals: reports.map(({ report }) => report.totals).reduce(sum),
    ...combinedVerification(reports),
    models: reports.map(({ report }) => report),
  };
}

const inFile = <T extends { readonly path: string }>(name: string, module: T): T => ({
  ...module,
  path: `${name}: ${module.path}`,
});

function sum(a: ReportTotals, b: ReportTotals): ReportTotals {
  const keys = Object.keys(a) as (keyof ReportTotals)[];
  return Object.fromEntries(keys.map((key) => [key, a[key] + b[key]])) as unknown as ReportTotals;
}

function combinedVerification(reports: readonly NamedReport[]): { verification?: VerificationResult } {
  const verified = reports.flatMap(({ name, report: { verification } }) =>
    verification ? [{ name, verification }] : [],
  );
  if (verified.length === 0) return {};
  const failed = verified.find(({ verification }) => !verification.passed) ?? verified[0]!;
  const all = <T>(list: (verification: VerificationResult, name: string) => readonly T[]) =>
    verified.flatMap(({ name, verification }) => list(verification, name));
  return {
    verification: {
      ...failed.verification,
      passed: verified.every(({ verification }) => verification.passed),
      summary: verified.map(({ name, verification }) => `${name}: ${verification.summary}`).join('; '),
      executions: [...new Set(all(({ executions }) => executions))],
      runs: all(({ runs }) => runs),
      outputs: all(({ outputs }, name) => outputs.map((output) => ({ ...output, name: `${name}: ${output.name}` }))),
      modules: all(({ modules }, name) => modules.map((module) => inFile(name, module))),
      unchecked: all(({ unchecked }, name) => unchecked.map((module) => inFile(name, module))),
      notes: all(({ notes }, name) => notes.map((note) => `${name}: ${note}`)),
    },
  };
}

/** Modules of the report that are ort.dora operators now, whenever they were fused. */
export const fusedModules = ({ totals }: RewriteReport) => totals.fused + totals.already;

export type { ModuleReport };
