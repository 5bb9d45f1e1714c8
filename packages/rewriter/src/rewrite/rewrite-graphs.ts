import { type ModelProto, ModelView, type NodeProto, type Scope, type TensorProto } from '@ort-dora/onnx';
import { OLDEST_OPSET } from '../functions/form.js';
import { DORA_DOMAIN, DORA_OPSET_VERSION, OVERLOAD_IR_VERSION } from '../functions/function.js';
import { FUSIONS } from '../fusions/index.js';
import { matchScopes, type SmallConstants } from '../match/model-facts.js';
import type { MatchScope } from '../match/scope.js';
import type { NormCompute } from '../norm/norm.js';
import { PendingGains } from '../norm/pending-gains.js';
import type { AlreadyFusedModuleReport, ModuleReport, NodeReference } from '../report/report.js';
import type { StoredTensor } from '../tensors/stored-tensor.js';
import { ScopeEditor } from './editor.js';
import { RewriteError } from './error.js';
import { findModules, type ProvenModule, type RefusedModule } from './find-modules.js';
import { type ModulePath, modulePath } from './module-path.js';
import type { RewriteProgress } from './options.js';
import type { RewriteSettings } from './settings.js';

export interface GraphRewriteOptions {
  readonly settings: RewriteSettings;
  /** Undefined in an inspection: g is then left at zeros. */
  readonly compute: NormCompute | undefined;
  /** The data of a tensor of the model. */
  readonly stored: (tensor: TensorProto) => StoredTensor | undefined;
  /** The numbers of small tensors, read before. */
  readonly smallConstants: SmallConstants;
  readonly onProgress: ((progress: RewriteProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface GraphRewrite {
  /** In the order of the graph, the main graph first. */
  readonly modules: readonly ModuleReport[];
  readonly nodesBefore: number;
  readonly nodesAfter: number;
}

/**
 * Finds and replaces DoRA in all graphs of a model, in place: the main graph, subgraphs, model-local functions. Where
 * nothing is replaced, nothing is changed.
 */
export async function rewriteGraphs(model: ModelProto, options: GraphRewriteOptions): Promise<GraphRewrite> {
  const view = new ModelView(model);
  const nodesBefore = countNodes(view);
  const found: FoundInScope[] = [];
  for (const [scope, facts] of matchScopes(view, options.smallConstants)) {
    if (scopeOfOperators(scope)) continue;
    options.onProgress?.({ stage: 'search', scope: facts.path });
    found.push({ scope, facts, items: await findModules(facts, FUSIONS, dataContext(facts, options)) });
  }
  const total = found.flatMap(({ items }) => items).filter(({ status }) => status === 'proven').length;
  const modules: ModuleReport[] = [];
  const gains = new PendingGains();
  let done = 0;
  for (const { scope, facts, items } of found) {
    // Positions and names before any edit.
    const order = new Map(facts.nodes.map((node, index) => [node, index]));
    const named = items.map((item) => ({ item, name: nameOf(scope, item) }));
    const already = facts.nodes.filter(({ domain, opType }) => domain === DORA_DOMAIN && opType !== 'DoraScale');
    const ofScope: { readonly position: number; readonly report: ModuleReport }[] = already.map((node) => ({
      position: order.get(node) ?? 0,
      report: alreadyFused(facts, node),
    }));

    const opset = scope.opset() ?? 0;
    if (opset < OLDEST_OPSET && items.some(({ status }) => status === 'proven')) {
      throw new RewriteError(
        'opset',
        `the model imports opset ${opset}; the functions of ort.dora need ${OLDEST_OPSET} or newer: convert the model first`,
      );
    }
    const editor = new ScopeEditor(view, scope, { opset, target: options.settings.target });
    for (const { item, name } of named) {
      options.signal?.throwIfAborted();
      if (item.status === 'refused') {
        ofScope.push({ position: order.get(item.node) ?? 0, report: refused(facts, item, name) });
        continue;
      }
      options.onProgress?.({ stage: 'fuse', path: name.path, done, total });
      const position = order.get(item.module.root) ?? 0;
      ofScope.push({ position, report: await fuse(facts, editor, item, name, gains, options) });
      done++;
    }
    ofScope.sort((left, right) => left.position - right.position);
    modules.push(...ofScope.map(({ report }) => report));
    if (items.some(({ status }) => status === 'proven')) {
      // Functions import what they use themselves; the model imports what is in it.
      for (const importing of [view.main, scope]) importing.importOpset(DORA_DOMAIN, DORA_OPSET_VERSION);
    }
  }
  if (total > 0 && (model.irVersion ?? 0n) < BigInt(OVERLOAD_IR_VERSION)) {
    model.irVersion = BigInt(OVERLOAD_IR_VERSION);
  }
  if (options.compute !== undefined) await gains.compute(options.compute, options.onProgress);
  return { modules, nodesBefore, nodesAfter: countNodes(view) };
}

interface FoundInScope {
  readonly scope: Scope;
  readonly facts: MatchScope;
  readonly items: readonly Item[];
}

/** Bodies of our own operators hold no DoRA to find. */
function scopeOfOperators(scope: Scope): boolean {
  return 'domain' in scope.proto && scope.proto.domain === DORA_DOMAIN;
}

function dataContext(facts: MatchScope, { stored, signal }: GraphRewriteOptions) {
  const tensor = (value: string) => {
    const constant = facts.constant(value);
    return constant === undefined ? undefined : stored(constant);
  };
  return { tensor, stored, signal };
}

type Item = ProvenModule | RefusedModule;

async function fuse(
  facts: MatchScope,
  editor: ScopeEditor,
  { fusion, module }: ProvenModule,
  { path, adapter }: ModulePath,
  gains: PendingGains,
  options: GraphRewriteOptions,
): Promise<ModuleReport> {
  const node = nodeReference(module.root);
  const written = await fusion.rewrite(
    {
      ...dataContext(facts, options),
      scope: facts,
      moduleOf: () => undefined,
      settings: options.settings,
      editor,
      gains,
      path,
      adapter,
    },
    module,
  );
  const identity = { path, adapter: adapter ?? null, kind: fusion.kind, scope: facts.path, node };
  if (!written.matched) {
    const { reason, culprit } = written;
    return { ...identity, status: 'skipped', reason, culprit: culprit === undefined ? null : nodeReference(culprit) };
  }
  return { ...identity, status: 'fused', reason: null, ...written.value, ...editor.takeSummary() };
}

function refused(facts: MatchScope, { node, failure, fusion }: RefusedModule, name: ModulePath): ModuleReport {
  return {
    path: name.path,
    adapter: name.adapter ?? null,
    kind: fusion?.kind ?? 'unknown',
    scope: facts.path,
    node: nodeReference(node),
    status: 'skipped',
    reason: failure.reason,
    culprit: failure.culprit === undefined ? null : nodeReference(failure.culprit),
  };
}

function alreadyFused(facts: MatchScope, node: NodeProto): AlreadyFusedModuleReport {
  const gain = /^(.*)\.dora_gain(?:\.(.+?))?(?:_\d+)?$/.exec(node.input[node.opType === 'DoraLinear' ? 4 : 2] ?? '');
  const scaling = node.attribute.find(({ name }) => name === 'scaling')?.f;
  return {
    path: gain?.[1] ?? node.name ?? '',
    adapter: gain?.[2] ?? null,
    kind: 'linear',
    scope: facts.path,
    node: nodeReference(node),
    status: 'already',
    reason: null,
    operator: node.opType ?? '',
    overload: node.overload ?? '',
    scaling: scaling ?? null,
  };
}

/** The module's PEFT path; without names in the file, the name of the node where it was found. */
function nameOf(scope: Scope, item: Item): ModulePath {
  const { nodes, tensors } =
    item.status === 'proven' ? item.fusion.names(item.module) : { nodes: [item.node], tensors: item.node.input };
  const infos = tensors.flatMap((name) => scope.valueInfo(name) ?? []);
  const node = item.status === 'proven' ? item.module.root : item.node;
  return modulePath({ tensors, infos, nodes }) ?? { path: node.name || (node.output[0] ?? ''), adapter: undefined };
}

export function nodeReference(node: NodeProto): NodeReference {
  return { name: node.name ?? '', opType: node.opType ?? '', output: node.output[0] ?? '' };
}

export function standardOpset(imports: ModelProto['opsetImport']): number {
  const standard = imports.find(({ domain }) => domain === undefined || domain === '' || domain === 'ai.onnx');
  return Number(standard?.version ?? 0n);
}

/** Nodes of all graphs and subgraphs; function bodies of our operators are not counted. */
export function countNodes(view: ModelView): number {
  let count = 0;
  for (const scope of view.scopes()) if (!scopeOfOperators(scope)) count += scope.nodes.length;
  return count;
}
