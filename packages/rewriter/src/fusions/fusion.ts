import type { NodeProto, TensorProto } from '@ort-dora/onnx';
import type { MatchResult } from '../match/result.js';
import type { MatchScope } from '../match/scope.js';
import type { PendingGains } from '../norm/pending-gains.js';
import type { FusedModuleReport, ModuleKind } from '../report/report.js';
import type { GraphEditor } from '../rewrite/editor.js';
import type { RewriteSettings } from '../rewrite/settings.js';
import type { StoredTensor } from '../tensors/stored-tensor.js';

/**
 * One form of DoRA and its replacement. A fusion lives in one file; adding one means writing that file and a line in
 * `index.ts`.
 */
export interface Fusion<Found extends FoundModule = FoundModule, Proven extends Found = Found> {
  readonly name: string;
  readonly kind: ModuleKind;
  /** The structure, from the node where the composition ends. Looks at no data. */
  pattern(context: FusionContext, root: NodeProto): MatchResult<Found>;
  /** Everything that the structure does not show: constants that must be equal, shapes and types that must fit. */
  check(context: FusionContext, found: Found): Promise<MatchResult<Proven>>;
  /** Names around a module from which its PEFT path is read: of its tensors, m first, and its nodes. */
  names(found: Found): { readonly tensors: readonly string[]; readonly nodes: readonly NodeProto[] };
  /** Replaces the module, of which `check` has proved everything; or says, before any edit, why that cannot be done. */
  rewrite(context: RewriteContext, proven: Proven): Promise<MatchResult<FusedDescription>>;
}

/** What every fusion finds. */
export interface FoundModule {
  /** Where the composition ends. */
  readonly root: NodeProto;
  /** The module's result: the root's output, or that of a cast behind it. */
  readonly output: string;
  /** Where the search for the norm began; modules with a norm in the graph are reported by it. */
  readonly division: NodeProto | undefined;
}

/** What patterns and checks may use. */
export interface FusionContext {
  readonly scope: MatchScope;
  /** The data of a constant value. */
  tensor(value: string): StoredTensor | undefined;
  /** The data of a constant's tensor. */
  stored(tensor: TensorProto): StoredTensor | undefined;
  /** The module proved before whose result this value is: the base of a chained adapter. */
  moduleOf(value: string): FoundModule | undefined;
  readonly signal: AbortSignal | undefined;
}

/** What rewriting may use besides. */
export interface RewriteContext extends FusionContext {
  readonly settings: RewriteSettings;
  readonly editor: GraphEditor;
  /** Takes what g is to be computed from. */
  readonly gains: PendingGains;
  /** PEFT path and adapter name of the module. */
  readonly path: string;
  readonly adapter: string | undefined;
}

/** What a fusion reports of a module it has replaced; the rest of the report is the same for all. */
export type FusedDescription = Omit<
  FusedModuleReport,
  'path' | 'adapter' | 'kind' | 'scope' | 'node' | 'status' | 'reason' | 'nodesRemoved' | 'nodesAdded' | 'bytesSaved'
>;
