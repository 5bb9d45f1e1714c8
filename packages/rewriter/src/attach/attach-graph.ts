/** Attaching an adapter to one model in memory: find its modules, check, write, remember. */

import { type ModelProto, ModelView, type TensorProto } from '@ort-dora/onnx';
import { OLDEST_OPSET } from '../functions/form.js';
import { DORA_DOMAIN, DORA_OPSET_VERSION, OVERLOAD_IR_VERSION } from '../functions/function.js';
import { matchScopes, type SmallConstants } from '../match/model-facts.js';
import type { NormCompute } from '../norm/norm.js';
import type { FusedModuleReport } from '../report/report.js';
import { RewriteError } from '../rewrite/error.js';
import type { RewriteSettings } from '../rewrite/settings.js';
import type { StoredTensor } from '../tensors/stored-tensor.js';
import type { AttachModule } from './adapter-module.js';
import type { AdapterStore } from './adapter-store.js';
import { type BaseLayer, baseLayers } from './base-layers.js';
import type { FoundTarget } from './find-targets.js';
import { GraphWriter } from './graph-writer.js';
import { type InsertedLayer, insertModule } from './insert-module.js';
import type { InsertContext } from './insert-parts.js';
import { segmentsOf } from './layer-names.js';
import { writeProvenance } from './provenance.js';

/** A model whose layers are known. */
export interface BaseModel {
  readonly view: ModelView;
  readonly layers: readonly BaseLayer[];
  /** Paths of modules that have an adapter already, as segments: PEFT's `base_layer`, or an `ort.dora` operator. */
  readonly adapted: readonly (readonly string[])[];
}

/** The layers of the main graph and its subgraphs. Functions get their weights as inputs, so they have none. */
export function openBase(
  model: ModelProto,
  stored: (tensor: TensorProto) => StoredTensor | undefined,
  smallConstants: SmallConstants,
): BaseModel {
  const view = new ModelView(model);
  const facts = matchScopes(view, smallConstants);
  const layers = [...view.main.withInner()].flatMap((scope) => {
    const known = facts.get(scope)!;
    return baseLayers(scope, known, (value) => {
      const constant = known.constant(value);
      return constant === undefined ? undefined : stored(constant);
    });
  });
  const wrapped = layers.flatMap(({ names }) =>
    names.map(({ segments }) => segments).filter((segments) => segments.at(-1) === 'base_layer'),
  );
  const fused = [...view.main.withInner()].flatMap(({ nodes }) => nodes.filter(({ domain }) => domain === DORA_DOMAIN));
  return {
    view,
    layers,
    adapted: [
      ...wrapped.map((segments) => segments.slice(0, -1)),
      // Named by the module's path, and behind a slash the adapter's.
      ...fused.map(({ name = '' }) => segmentsOf(name.split('/')[0] ?? '')),
    ],
  };
}

export interface AttachGraphOptions {
  readonly form: InsertContext['form'];
  readonly target: RewriteSettings['target'];
  readonly compute: NormCompute;
  readonly store: AdapterStore;
  /** The text of `adapter_config.json`. */
  readonly adapterConfig: string;
  readonly onModule: ((path: string) => void) | undefined;
  readonly signal: AbortSignal | undefined;
}

/**
 * Writes modules at the layers that were found for them, in place.
 * @throws RewriteError `attach`, `opset`, `norm`, `targets`
 */
export async function attachToGraph(
  { view }: BaseModel,
  found: readonly { readonly module: AttachModule; readonly found: FoundTarget }[],
  options: AttachGraphOptions,
): Promise<readonly FusedModuleReport[]> {
  const opset = view.main.opset() ?? 0;
  if (opset < OLDEST_OPSET) {
    throw new RewriteError(
      'opset',
      `the model imports opset ${opset}; the functions of ort.dora need ${OLDEST_OPSET} or newer: convert the model first`,
    );
  }
  const writer = new GraphWriter(view, { opset, target: options.target });
  const reports: FusedModuleReport[] = [];
  const nodes = new Map<string, string>();
  for (const { module, found: target } of found) {
    options.signal?.throwIfAborted();
    options.onModule?.(module.path);
    const { inserted, gain } = await insertModule({ ...options, writer }, module, target.layers);
    if (gain !== undefined) refuseUnlikely(module, target, gain);
    const counts = writer.takeCounts();
    for (const [index, layer] of inserted.entries()) {
      nodes.set(layer.node.name ?? '', module.path);
      // What was written for a module that is called several times is counted once.
      const cost = index === 0 ? { ...counts, bytesSaved: -bytesOf(module) } : NO_COST;
      reports.push({ ...reportOf(module, layer), ...cost });
    }
  }
  if (options.form === 'reference') return reports;
  view.main.importOpset(DORA_DOMAIN, DORA_OPSET_VERSION);
  if ((view.model.irVersion ?? 0n) < BigInt(OVERLOAD_IR_VERSION)) view.model.irVersion = BigInt(OVERLOAD_IR_VERSION);
  writeProvenance(view.model, { adapterConfig: options.adapterConfig, modules: nodes });
  return reports;
}

/** Gains of trained adapters lie around 1. Beyond this factor, a layer that was found by a part of its path is another one. */
const MOST_LIKELY_GAIN = 4;

/**
 * Where an export's path leaves something of the module's path open, the magnitudes must belong to the weights: PEFT
 * starts them at the norms of the rows, and training moves them little.
 */
function refuseUnlikely({ path, magnitude }: AttachModule, { fit, name }: FoundTarget, gain: Float32Array): void {
  if (fit === 'whole' || fit === 'longer') return;
  if (magnitude === undefined) {
    if (fit === 'shorter') return;
    throw new RewriteError(
      'targets',
      `${path}: the path in the export (${name.segments.join('.')}) lacks segments inside, and LoRA has no magnitudes that could tell whether this is the layer`,
    );
  }
  const sorted = Float32Array.from(gain, Math.abs).sort();
  const median = sorted[sorted.length >> 1] ?? 1;
  if (median < MOST_LIKELY_GAIN && median > 1 / MOST_LIKELY_GAIN) return;
  throw new RewriteError(
    'targets',
    `${path}: only a part of its path is in the export (${name.segments.join('.')}), and its magnitudes are ${median.toPrecision(2)} times the norms of that layer: it was trained on another one`,
  );
}

const NO_COST = { nodesAdded: 0, nodesRemoved: 0, bytesSaved: 0 };

/** A, B and g. */
function bytesOf({ loraA, loraB, outFeatures }: AttachModule): number {
  return loraA.byteLength + loraB.byteLength + 4 * outFeatures;
}

function reportOf(
  module: AttachModule,
  { layer, node, type, adapterType, values }: InsertedLayer,
): Omit<FusedModuleReport, keyof typeof NO_COST> {
  const { bias } = layer;
  const { outFeatures } = module;
  const inFeatures = layer.weightShape.reduce((product, dim) => product * dim, 1) / outFeatures;
  const output = node.output[0] ?? '';
  return {
    path: module.path,
    adapter: null,
    kind: layer.kind,
    scope: layer.facts.path,
    node: { name: layer.node.name ?? '', opType: layer.node.opType ?? '', output: layer.product },
    status: 'fused',
    reason: null,
    operator: node.opType as 'DoraLinear' | 'DoraCompose',
    overload: node.overload ?? '',
    form: { norm: 'attached', delta: null, base: baseForm(layer) },
    rank: module.rank,
    scaling: module.scaling,
    dtypes: { weight: type, adapter: adapterType, magnitude: module.magnitude?.type ?? null },
    weightShape: [outFeatures, inFeatures],
    bias: bias !== undefined,
    layouts: {
      transW: transposedForReport(layer),
      transA: 0,
      transB: 0,
    },
    scale: 'stored',
    values: {
      x: layer.x,
      y: output,
      base: values.base,
      weight: values.weight ?? null,
      loraA: values.loraA,
      loraB: values.loraB,
      ...(values.lora !== undefined && { lora: values.lora }),
      magnitude: values.magnitude ?? null,
      bias: bias?.value ?? null,
      gain: values.gain ?? '',
    },
  };
}

/** Whether W is stored as [in, out]: an embedding's `in` is its vocabulary, which its table has in rows. */
function transposedForReport({ kind, weight }: BaseLayer): 0 | 1 {
  const transposed = weight.quantizedBy === undefined ? weight.transposed : weight.numbersTransposed;
  return kind === 'embedding' ? ((1 - transposed) as 0 | 1) : transposed;
}

/** How the exporter had written a layer. */
export function baseForm({ node, bias, weight }: BaseLayer): FusedModuleReport['form']['base'] {
  if (weight.quantizedBy !== undefined) return weight.quantizedBy;
  switch (node.opType) {
    case 'MatMul':
      return bias === undefined ? 'MatMul' : 'MatMul+Add';
    case 'Gemm':
      return bias === undefined ? 'Gemm' : bias.addition === undefined ? 'Gemm+bias' : 'MatMul+Add';
    case 'Gather':
    case 'Conv':
      return node.opType;
    default:
      throw new Error(`${node.opType} is no base layer`);
  }
}
