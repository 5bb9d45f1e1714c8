/** The graphs of a few modules before and after a rewrite, read from both files for the page. */

import { ModelView, openModel, type Scope } from '@ort-dora/onnx';
import type { FusedModuleReport, ModuleReport } from '../report.js';
import { type DetailedVerification, errorRatio, findingsOf } from '../verification.js';
import { excerpt, type GraphExcerpt } from './excerpt.js';

/** One module in both graphs. */
export interface ModuleGraph {
  readonly path: string;
  readonly adapter: string | null;
  /** How it had been exported and what it became: modules of one form look alike. */
  readonly form: string;
  readonly before: GraphExcerpt;
  readonly after: GraphExcerpt;
}

/** Forms drawn of one model at most. */
const MOST_FORMS = 3;

/**
 * One fused module of each form, of the first few forms: first the one that is furthest from its original, as far as errors
 * were measured. Modules that one of the files does not compute are left out.
 *
 * @throws OnnxError: one of the files is no ONNX model
 */
export async function readModuleGraphs(
  original: string,
  rewritten: string,
  modules: readonly ModuleReport[],
  verification?: Pick<DetailedVerification, 'modules'>,
): Promise<ModuleGraph[]> {
  const drawn = modulesToDraw(modules, verification);
  if (drawn.length === 0) return [];
  const scopes = await Promise.all([original, rewritten].map(scopesByPath));
  return drawn.flatMap((module) => {
    const [before, after] = scopes.map((byPath) => {
      const scope = byPath.get(module.scope);
      return scope && excerpt(scope, module);
    });
    const { path, adapter } = module;
    return before && after ? [{ path, adapter, form: formOf(module), before, after }] : [];
  });
}

function modulesToDraw(
  modules: readonly ModuleReport[],
  verification: Pick<DetailedVerification, 'modules'> | undefined,
): FusedModuleReport[] {
  const { errors } = findingsOf(modules, verification);
  const ratio = (module: ModuleReport) => {
    const figures = errors.get(module);
    if (figures === undefined) return -1;
    return figures.passed ? errorRatio(figures) : Number.POSITIVE_INFINITY;
  };
  const byForm = new Map<string, FusedModuleReport>();
  for (const module of modules) {
    if (module.status !== 'fused') continue;
    const form = formOf(module);
    const known = byForm.get(form);
    if (known === undefined || ratio(module) > ratio(known)) byForm.set(form, module);
  }
  return [...byForm.values()].sort((a, b) => ratio(b) - ratio(a)).slice(0, MOST_FORMS);
}

const formOf = ({ kind, operator, form: { norm, delta, base }, bias }: FusedModuleReport) =>
  [kind, operator, norm, delta, base, bias].join(' ');

async function scopesByPath(path: string): Promise<ReadonlyMap<string, Scope>> {
  const file = await openModel(path);
  try {
    return new Map([...new ModelView(file.model).scopes()].map((scope) => [scope.path, scope]));
  } finally {
    await file.close();
  }
}
