import type { FunctionProto, ModelProto, NodeProto, TensorProto } from '@ort-dora/onnx';
import { OLDEST_OPSET } from '../functions/form.js';
import { DORA_DOMAIN, DORA_OPSET_VERSION, OVERLOAD_IR_VERSION } from '../functions/function.js';
import { FUSIONS } from '../fusions/index.js';
import { functionBody, GraphScope, graphBody, type SmallConstants, subgraphs } from '../match/graph-scope.js';
import type { NormCompute } from '../norm/norm.js';
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
  const nodesBefore = countNodes(model);
  const edits = {
    freshName: nameMaker(model),
    functions: new Map(model.functions.map((proto) => [functionKey(proto), proto])),
  };
  const scopes = allScopes(model, options.smallConstants);
  const found: { readonly scope: GraphScope; readonly opset: number; readonly items: readonly Item[] }[] = [];
  for (const { scope, opset } of scopes) {
    options.onProgress?.({ stage: 'search', scope: scope.path });
    const items = await findModules(scope, FUSIONS, {
      tensor: (value) => {
        const tensor = scope.constant(value);
        return tensor === undefined ? undefined : options.stored(tensor);
      },
      stored: options.stored,
      signal: options.signal,
    });
    found.push({ scope, opset, items });
  }

  const total = found.flatMap(({ items }) => items).filter(({ status }) => status === 'proven').length;
  const modules: ModuleReport[] = [];
  let done = 0;
  for (const { scope, opset, items } of found) {
    const order = new Map(scope.nodes.map((node, index) => [node, index]));
    const ofScope: { readonly position: number; readonly report: ModuleReport }[] = [];
    const already = scope.nodes.filter(({ domain, opType }) => domain === DORA_DOMAIN && opType !== 'DoraScale');
    for (const node of already) ofScope.push({ position: order.get(node) ?? 0, report: alreadyFused(scope, node) });

    if (opset < OLDEST_OPSET && items.some(({ status }) => status === 'proven')) {
      throw new RewriteError(
        'opset',
        `the model imports opset ${opset}; the functions of ort.dora need ${OLDEST_OPSET} or newer: convert the model first`,
      );
    }
    const editor = new ScopeEditor(scope, edits, { opset, target: options.settings.target });
    const named = items.map((item) => ({ item, name: nameOf(scope, item) }));
    for (const { item, name } of named) {
      options.signal?.throwIfAborted();
      const node = item.status === 'proven' ? item.module.root : item.node;
      const position = order.get(node) ?? 0;
      if (item.status === 'refused') {
        ofScope.push({ position, report: refused(scope, item, name) });
        continue;
      }
      options.onProgress?.({ stage: 'fuse', path: name.path, done, total });
      const report = await fuse(scope, editor, item, name, options);
      ofScope.push({ position, report });
      done++;
    }
    ofScope.sort((left, right) => left.position - right.position);
    modules.push(...ofScope.map(({ report }) => report));
    if (items.some(({ status }) => status === 'proven')) importDomain(model, scope);
  }
  if (total > 0) addFunctions(model, edits.functions);
  return { modules, nodesBefore, nodesAfter: countNodes(model) };
}

type Item = ProvenModule | RefusedModule;

async function fuse(
  scope: GraphScope,
  editor: ScopeEditor,
  { fusion, module }: ProvenModule,
  { path, adapter }: ModulePath,
  options: GraphRewriteOptions,
): Promise<ModuleReport> {
  const node = nodeReference(module.root);
  const description = await fusion.rewrite(
    {
      scope,
      tensor: (value) => {
        const tensor = scope.constant(value);
        return tensor === undefined ? undefined : options.stored(tensor);
      },
      stored: options.stored,
      moduleOf: () => undefined,
      signal: options.signal,
      settings: options.settings,
      editor,
      compute: options.compute,
      path,
      adapter,
    },
    module,
  );
  const identity = { path, adapter: adapter ?? null, kind: fusion.kind, scope: scope.path, node };
  return { ...identity, status: 'fused', reason: null, ...description, ...editor.takeSummary() };
}

function refused(scope: GraphScope, { node, failure, fusion }: RefusedModule, name: ModulePath): ModuleReport {
  return {
    path: name.path,
    adapter: name.adapter ?? null,
    kind: fusion?.kind ?? 'unknown',
    scope: scope.path,
    node: nodeReference(node),
    status: 'skipped',
    reason: failure.reason,
    culprit: failure.culprit === undefined ? null : nodeReference(failure.culprit),
  };
}

function alreadyFused(scope: GraphScope, node: NodeProto): AlreadyFusedModuleReport {
  const gain = /^(.*)\.dora_gain(?:\.(.+?))?(?:_\d+)?$/.exec(node.input[node.opType === 'DoraLinear' ? 4 : 2] ?? '');
  const scaling = node.attribute.find(({ name }) => name === 'scaling')?.f;
  return {
    path: gain?.[1] ?? node.name ?? '',
    adapter: gain?.[2] ?? null,
    kind: 'linear',
    scope: scope.path,
    node: nodeReference(node),
    status: 'already',
    reason: null,
    operator: node.opType ?? '',
    overload: node.overload ?? '',
    scaling: scaling ?? null,
  };
}

/** The module's PEFT path; without names in the file, the name of the node where it was found. */
function nameOf(scope: GraphScope, item: Item): ModulePath {
  const { nodes, tensors } = item.status === 'proven' ? item.fusion.names(item.module) : refusedNames(scope, item);
  const metadata = tensors.flatMap((name) => scope.metadata(name));
  const node = item.status === 'proven' ? item.module.root : item.node;
  const fallback = node.name === undefined || node.name === '' ? (node.output[0] ?? '') : node.name;
  return modulePath({ tensors, metadata, nodes }) ?? { path: fallback, adapter: undefined };
}

function refusedNames(_: GraphScope, { node }: RefusedModule) {
  return { nodes: [node], tensors: node.input };
}

function nodeReference(node: NodeProto): NodeReference {
  return { name: node.name ?? '', opType: node.opType ?? '', output: node.output[0] ?? '' };
}

/** All scopes with the opset that their nodes are read at; our own function bodies are left out. */
function allScopes(model: ModelProto, small: SmallConstants): { readonly scope: GraphScope; readonly opset: number }[] {
  const scopes: { scope: GraphScope; opset: number }[] = [];
  const opset = standardOpset(model.opsetImport);
  const add = (scope: GraphScope, version: number) => {
    scopes.push({ scope, opset: version });
    for (const child of scope.children) add(child, version);
  };
  if (model.graph !== undefined) add(new GraphScope(graphBody(model.graph), '', undefined, small), opset);
  for (const proto of model.functions) {
    if (proto.domain === DORA_DOMAIN) continue;
    const path = `${proto.domain ?? ''}::${proto.name ?? ''}${proto.overload ? `:${proto.overload}` : ''}`;
    add(new GraphScope(functionBody(proto), path, undefined, small), standardOpset(proto.opsetImport) || opset);
  }
  return scopes;
}

export function standardOpset(imports: ModelProto['opsetImport']): number {
  const standard = imports.find(({ domain }) => domain === undefined || domain === '' || domain === 'ai.onnx');
  return Number(standard?.version ?? 0n);
}

/** Functions import the domains that they use themselves. */
function importDomain(model: ModelProto, scope: GraphScope): void {
  let root = scope;
  while (root.parent !== undefined) root = root.parent;
  const { proto } = root.body;
  const imports = proto.kind === 'function' ? [model.opsetImport, proto.function.opsetImport] : [model.opsetImport];
  for (const list of imports) {
    if (list.some(({ domain }) => domain === DORA_DOMAIN)) continue;
    list.push({ domain: DORA_DOMAIN, version: BigInt(DORA_OPSET_VERSION) });
  }
}

function addFunctions(model: ModelProto, functions: ReadonlyMap<string, FunctionProto>): void {
  const known = new Set(model.functions.map(functionKey));
  const added = [...functions].filter(([key]) => !known.has(key)).sort(([left], [right]) => (left < right ? -1 : 1));
  model.functions.push(...added.map(([, proto]) => proto));
  if ((model.irVersion ?? 0n) < BigInt(OVERLOAD_IR_VERSION)) model.irVersion = BigInt(OVERLOAD_IR_VERSION);
}

function functionKey({ domain = '', name = '', overload = '' }: FunctionProto): string {
  return [domain, name, overload].join('\n');
}

function countNodes(model: ModelProto): number {
  const count = (nodes: readonly NodeProto[]): number =>
    nodes.reduce(
      (sum, node) => sum + 1 + subgraphs(node).reduce((inner, [, graph]) => inner + count(graph.node), 0),
      0,
    );
  const functions = model.functions.filter(({ domain }) => domain !== DORA_DOMAIN);
  return count(model.graph?.node ?? []) + functions.reduce((sum, { node }) => sum + count(node), 0);
}

/** Names that no value and no node of the model has. */
function nameMaker(model: ModelProto): (wanted: string) => string {
  const used = new Set<string>();
  const addNodes = (nodes: readonly NodeProto[]) => {
    for (const node of nodes) {
      for (const name of [node.name ?? '', ...node.output, ...node.input]) used.add(name);
      for (const [, graph] of subgraphs(node)) addGraph(graph);
    }
  };
  const addGraph = (graph: NonNullable<ModelProto['graph']>) => {
    for (const { name } of [...graph.input, ...graph.initializer]) used.add(name ?? '');
    addNodes(graph.node);
  };
  if (model.graph !== undefined) addGraph(model.graph);
  for (const proto of model.functions) {
    for (const name of proto.input) used.add(name);
    addNodes(proto.node);
  }
  return (wanted) => {
    let name = wanted;
    for (let suffix = 1; used.has(name); suffix++) name = `${wanted}_${suffix}`;
    used.add(name);
    return name;
  };
}
