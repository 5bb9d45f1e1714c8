/** The report of a merge: what it costs and saves against the fused form. Plain JSON, the same for the same input. */

import type { LayerKind } from '../attach/base-layers.js';
import type { FloatType } from '../functions/form.js';
import type { NodeReference } from '../report/report.js';
import type { RoundingError } from './rounding-sample.js';

export const MERGE_SCHEMA_VERSION = 1;

export interface MergeReport {
  readonly schemaVersion: typeof MERGE_SCHEMA_VERSION;
  /** File name of the model. */
  readonly model: string;
  readonly mode: 'merge';
  readonly options: { readonly compact: boolean };
  readonly producer: { readonly name: string; readonly version: string };
  readonly opset: number;
  /** The merged ones in the order of the graph, then the others. */
  readonly modules: readonly (MergedModuleReport | UnmergedModuleReport)[];
  readonly totals: MergeTotals;
}

interface ModuleIdentity {
  readonly path: string;
  readonly adapter: string | null;
  readonly scope: string;
  /** The operator that stood there. */
  readonly node: NodeReference;
}

export interface MergedModuleReport extends ModuleIdentity {
  readonly status: 'merged';
  readonly reason: null;
  readonly kind: LayerKind;
  /** Adapters on the layer: more than one where they are chained. */
  readonly adapters: number;
  /** Of the outermost adapter. */
  readonly rank: number;
  readonly scaling: number;
  readonly dtypes: { readonly weight: FloatType; readonly adapter: FloatType };
  readonly weightShape: readonly [outFeatures: number, inFeatures: number];
  /** W' in the model against W' in float64, in a sample of it; null for a weight that another module has merged already. */
  readonly rounding: RoundingError | null;
  /** With the operator: W, and A, B and g of each adapter. */
  readonly fused: Cost;
  /** Merged: W' alone. */
  readonly merged: Cost;
}

export interface Cost {
  readonly weightBytes: number;
  readonly adapterBytes: number;
  /** Multiplications and additions for one row of x (an embedding's id, a convolution's position), without the bias. */
  readonly flopsPerRow: number;
}

/** Left as it was: it still is what it computes. */
export interface UnmergedModuleReport extends ModuleIdentity {
  readonly status: 'skipped';
  readonly reason: string;
}

export interface MergeTotals {
  readonly modules: number;
  readonly merged: number;
  readonly skipped: number;
  readonly fused: Cost;
  readonly mergedCost: Cost;
  /** The worst of all modules. */
  readonly rounding: RoundingError;
  /** What one more adapter takes: merged, its own W' of every module; fused, its A, B and g. */
  readonly bytesPerAdapter: { readonly merged: number; readonly fused: number };
  readonly nodesBefore: number;
  readonly nodesAfter: number;
}

export function mergeTotals(modules: MergeReport['modules'], nodesBefore: number, nodesAfter: number): MergeTotals {
  const merged = modules.filter((module) => module.status === 'merged');
  const cost = (form: 'fused' | 'merged'): Cost => {
    const sum = (key: keyof Cost) => merged.reduce((total, module) => total + module[form][key], 0);
    return { weightBytes: sum('weightBytes'), adapterBytes: sum('adapterBytes'), flopsPerRow: sum('flopsPerRow') };
  };
  const worst = (key: keyof RoundingError) =>
    merged.reduce((largest, { rounding }) => Math.max(largest, rounding?.[key] ?? 0), 0);
  const [fused, mergedCost] = [cost('fused'), cost('merged')];
  return {
    modules: modules.length,
    merged: merged.length,
    skipped: modules.length - merged.length,
    fused,
    mergedCost,
    rounding: { max: worst('max'), rms: worst('rms') },
    bytesPerAdapter: { merged: mergedCost.weightBytes, fused: fused.adapterBytes },
    nodesBefore,
    nodesAfter,
  };
}
