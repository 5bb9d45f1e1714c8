/** What pages show of a verification, and which of it is which module's. */

import type { ModuleReport, ReportVerification } from './report.js';

/** A verification with the details that the page can show. The report's own figures are enough. */
export interface DetailedVerification extends ReportVerification {
  /** The whole result in one sentence. */
  readonly summary?: string;
  readonly outputs: readonly (ReportVerification['outputs'][number] & { readonly reason?: string })[];
  readonly modules: readonly (ReportVerification['modules'][number] & {
    readonly scope?: string;
    /** `generated`: not what the original graph gives the module. */
    readonly inputs?: 'captured' | 'generated';
    /** The largest error that the rule allows, on the scale of the errors. */
    readonly limit?: number;
    readonly reason?: string;
  })[];
  /** Modules that could not be judged by themselves. */
  readonly unchecked?: readonly UncheckedModule[];
  readonly notes?: readonly string[];
  /** Ways in which the rewritten model was run: `stock`, `library`. */
  readonly executions?: readonly string[];
  /** Sets of inputs: dims by name; padded tokens of each row, on the left; why a set was not used, or null. */
  readonly runs?: readonly {
    readonly inputs: Readonly<Record<string, readonly number[]>>;
    readonly leftPadding?: readonly number[];
    readonly skipped: string | null;
  }[];
}

export interface UncheckedModule {
  readonly path: string;
  readonly adapter: string | null;
  readonly scope?: string;
  readonly reason: string;
}

export type ModuleErrors = DetailedVerification['modules'][number];

/** What a verification found out about the modules of a report. */
export interface Findings {
  readonly errors: ReadonlyMap<ModuleReport, ModuleErrors>;
  /** Why a module was judged with the whole model only. */
  readonly unchecked: ReadonlyMap<ModuleReport, string>;
}

/** A module is found by its path, adapter and, where several share these, scope. */
export function findingsOf(
  modules: readonly ModuleReport[],
  verification: Pick<DetailedVerification, 'modules' | 'unchecked'> | undefined,
): Findings {
  const errors = new Map<ModuleReport, ModuleErrors>();
  const unchecked = new Map<ModuleReport, string>();
  const [errorsByKey, uncheckedByKey] = [byKey(verification?.modules), byKey(verification?.unchecked)];
  for (const module of modules) {
    if (module.status !== 'fused') continue;
    const keys = [key(module), key({ ...module, scope: '' })];
    const figures = keys.map((each) => errorsByKey.get(each)).find((found) => found !== undefined);
    const alone = keys.map((each) => uncheckedByKey.get(each)).find((found) => found !== undefined);
    if (figures) errors.set(module, figures);
    else if (alone) unchecked.set(module, alone.reason);
  }
  return { errors, unchecked };
}

interface Named {
  readonly path: string;
  readonly adapter: string | null;
  readonly scope?: string;
}

const key = ({ path, adapter, scope }: Named) => JSON.stringify([path, adapter, scope ?? '']);

const byKey = <T extends Named>(items: readonly T[] = []): ReadonlyMap<string, T> =>
  new Map(items.map((item) => [key(item), item]));

/** The rewritten module's error as a multiple of the original's. */
export function errorRatio({ errorOriginal, errorRewritten }: ModuleErrors): number {
  return errorRewritten === errorOriginal ? 1 : errorRewritten / errorOriginal;
}

/** Of one module or more, the one that is furthest from its original. */
export const worstOf = (errors: readonly ModuleErrors[]): ModuleErrors =>
  errors.reduce((a, b) => (errorRatio(b) > errorRatio(a) || Number.isNaN(errorRatio(b)) ? b : a));
