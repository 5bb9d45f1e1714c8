/** The report of a rewrite or an inspection: plain JSON data, the same bytes for the same input. */
import type { FloatType, OperatorName } from '../functions/form.js';
import type { LayerForm } from '../match/linear-layer.js';

/** Version of the JSON schema below. */
export const REPORT_SCHEMA_VERSION = 1;

/** What `rewriteModel` and `inspectModel` found, module by module. */
export interface RewriteReport {
  readonly schemaVersion: typeof REPORT_SCHEMA_VERSION;
  /** File name of the model (no folder: reports do not depend on where the model lies). */
  readonly model: string;
  /** `inspect`: nothing was written; fused modules are those that a rewrite would fuse. `attach`: those of an adapter. */
  readonly mode: 'rewrite' | 'inspect' | 'attach';
  readonly options: ReportOptions;
  readonly producer: { readonly name: string; readonly version: string };
  /** Opset of the default ONNX domain. */
  readonly opset: number;
  /** In the order of the graph. */
  readonly modules: readonly ModuleReport[];
  readonly totals: ReportTotals;
  /** Filled in by `ort-dora rewrite --verify`. */
  readonly verification?: ReportVerification;
}

/** The options that decide the output. */
export interface ReportOptions {
  /** `reference`: of attached adapters only, in standard operators. */
  readonly form: 'linear' | 'compose' | 'reference';
  readonly scale: 'auto' | 'stored' | 'runtime';
  readonly target: 'cuda' | 'cpu';
  readonly compact: boolean;
}

/** One place in the model where DoRA was found, or where something looked like it. */
export type ModuleReport = FusedModuleReport | SkippedModuleReport | AlreadyFusedModuleReport;

interface ModuleIdentity {
  /**
   * PEFT module path, as in `target_modules` (`model.layers.0.self_attn.q_proj`). Where the export kept no names, the
   * name of the node where the search started.
   */
  readonly path: string;
  /** Adapter name (`default`), where the export kept it. */
  readonly adapter: string | null;
  readonly kind: ModuleKind;
  /** Path of the graph: '' for the main graph, else the nodes or the function entered. */
  readonly scope: string;
  /** The node of the original graph where the composition ends, or for skipped ones where the search began. */
  readonly node: NodeReference;
}

/** What is adapted. Kinds are added with the fusions that know them; `unknown` where none fitted. */
export type ModuleKind = 'linear' | 'embedding' | 'conv' | 'unknown';

/** A node, for people to find in their file. */
export interface NodeReference {
  readonly name: string;
  readonly opType: string;
  /** First output: the node's identity in ONNX, since names may be missing. */
  readonly output: string;
}

/** Replaced by `ort.dora` operators (or, in an inspection, would be). */
export interface FusedModuleReport extends ModuleIdentity {
  readonly status: 'fused';
  readonly reason: null;
  /** The operator written. */
  readonly operator: Extract<OperatorName, 'DoraLinear' | 'DoraCompose'>;
  readonly overload: string;
  /** How the exporter had written it. */
  readonly form: ExportForm;
  /** null: A and B are inputs of any rank. */
  readonly rank: number | null;
  readonly scaling: number;
  readonly dtypes: {
    readonly weight: FloatType;
    readonly adapter: FloatType;
    /** null where the export no longer has m (compose-only). */
    readonly magnitude: FloatType | null;
  };
  /** `[out, in]`; of an embedding `[dim, vocab]`, of a convolution `[out, in/groups · kernel]`; null where the graph does not say (weights as graph inputs without shapes). */
  readonly weightShape: readonly [outFeatures: number, inFeatures: number] | null;
  readonly bias: boolean;
  /** What the adapter's result is multiplied by besides `scaling`: the scale of a scaled embedding; absent where it is 1. */
  readonly adapterFactor?: number;
  /** Stored in the export as transposed (1) or as PyTorch has it (0). */
  readonly layouts: { readonly transW: 0 | 1; readonly transA: 0 | 1; readonly transB: 0 | 1 };
  /** `stored`: g was computed by the rewrite; `runtime`: DoraScale computes it; `constant`: the export had it already. */
  readonly scale: 'stored' | 'runtime' | 'constant';
  readonly nodesRemoved: number;
  readonly nodesAdded: number;
  /** Bytes of initializers that the rewritten model no longer needs, less those of the stored g. */
  readonly bytesSaved: number;
  /** Names for whoever compares both graphs. */
  readonly values: FusedValues;
}

/** How the exporter had written the module. */
export interface ExportForm {
  /**
   * `full`: the norm was in the graph; `composeOnly`: it had been folded into constants; `attached`: the export had only
   * the base layer.
   */
  readonly norm: 'full' | 'composeOnly' | 'attached';
  /** Where B·A came from; null where the export did not have it. */
  readonly delta: 'eyeLike' | 'equalEye' | 'constantEye' | 'constantDelta' | 'direct' | null;
  /**
   * The base layer, and where the bias was added to the product. `adapted`: another adapter's result. `recomputed`: the
   * layer's product, computed again for a further adapter, whose change of it is added to the others' result.
   */
  readonly base: LayerForm | 'adapted' | 'recomputed' | 'MatMulNBits' | 'MatMulInteger' | 'DequantizeLinear';
}

/** Left exactly as it was. */
export interface SkippedModuleReport extends ModuleIdentity {
  readonly status: 'skipped';
  /** One sentence: what did not fit. */
  readonly reason: string;
  /** The first node that did not fit, where it is a node. */
  readonly culprit: NodeReference | null;
}

/** An `ort.dora` operator that the input had already. */
export interface AlreadyFusedModuleReport extends ModuleIdentity {
  readonly status: 'already';
  readonly reason: null;
  readonly operator: string;
  readonly overload: string;
  readonly scaling: number | null;
}

/**
 * What a per-module verification needs: names of values in the original graph, and where they are in the rewritten one
 * (`y` keeps its name).
 */
export interface FusedValues {
  /** Input of the adapted layer; of the base for chained adapters. */
  readonly x: string;
  /** Output of the composition, in the original and in the rewritten graph. */
  readonly y: string;
  /** Result of the base layer in the original graph, with its bias if it has one. */
  readonly base: string;
  readonly weight: string | null;
  readonly loraA: string;
  readonly loraB: string;
  /** The adapter's result B·A·x, before it is scaled; absent where one operator computes both it and the base. */
  readonly lora?: string;
  readonly magnitude: string | null;
  readonly bias: string | null;
  /** The layer's product without its bias, where `form.base` is `recomputed`. */
  readonly product?: string;
  /** g in the rewritten graph. */
  readonly gain: string;
}

export interface ReportTotals {
  readonly modules: number;
  readonly fused: number;
  /** Of the fused ones, by how the exporter had written the norm. */
  readonly full: number;
  readonly composeOnly: number;
  readonly skipped: number;
  readonly already: number;
  /** Nodes of all graphs and subgraphs, function bodies not counted. */
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  readonly bytesSaved: number;
}

/** Figures of `--verify`; written by the verifier, shown by the page. */
export interface ReportVerification {
  readonly passed: boolean;
  readonly outputs: readonly {
    readonly name: string;
    /** Largest |difference| over the largest |value| of the original. */
    readonly maxRelative: number;
    readonly cosine: number;
    readonly passed: boolean;
  }[];
  readonly modules: readonly {
    readonly path: string;
    readonly adapter: string | null;
    /** Largest error against the float64 reference, over the largest |reference|. */
    readonly errorOriginal: number;
    readonly errorRewritten: number;
    readonly passed: boolean;
  }[];
}

/** The report as the JSON text that `--report` writes. */
export function reportJson(report: RewriteReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
