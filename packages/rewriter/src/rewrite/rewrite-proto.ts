import { inlineBytes, isExternal, type ModelProto, type TensorProto, visitTensors } from '@ort-dora/onnx';
import type { SmallConstants } from '../match/model-facts.js';
import { denseNorms } from '../norm/dense.js';
import type { NormCompute } from '../norm/norm.js';
import { type ModuleReport, REPORT_SCHEMA_VERSION, type RewriteReport } from '../report/report.js';
import { isSmall, numbersOf } from '../tensors/numbers.js';
import type { StoredTensor } from '../tensors/stored-tensor.js';
import type { InspectOptions, RewriteOptions } from './options.js';
import { rewriteGraphs, standardOpset } from './rewrite-graphs.js';

/** Where the data of a model's tensors is read: undefined for a tensor that cannot be. */
export type TensorSource = (tensor: TensorProto) => StoredTensor | undefined;

/**
 * Rewrites a decoded model in place. Where nothing is fused, nothing is changed.
 *
 * @param name For the report: the model's file name.
 * @throws RewriteError `scale`, `opset`, `norm`; what `compute` and `tensors` throw.
 */
export async function rewriteModelProto(
  model: ModelProto,
  tensors: TensorSource,
  name: string,
  options: RewriteOptions = {},
): Promise<RewriteReport> {
  return rewrite(model, tensors, name, 'rewrite', options.compute ?? denseNorms, options.compact ?? false, options);
}

/** As {@link rewriteModelProto}, without computing g: for the report alone. The model is of no use afterwards. */
export async function inspectModelProto(
  model: ModelProto,
  tensors: TensorSource,
  name: string,
  options: InspectOptions = {},
): Promise<RewriteReport> {
  return rewrite(model, tensors, name, 'inspect', undefined, false, options);
}

async function rewrite(
  model: ModelProto,
  tensors: TensorSource,
  name: string,
  mode: RewriteReport['mode'],
  compute: NormCompute | undefined,
  compact: boolean,
  options: InspectOptions,
): Promise<RewriteReport> {
  const settings = {
    form: options.form ?? 'linear',
    scale: options.scale ?? 'auto',
    target: options.target === 'cpu' ? 'cpu' : 'cuda',
  } as const;
  const { modules, nodesBefore, nodesAfter } = await rewriteGraphs(model, {
    settings,
    compute,
    stored: tensors,
    smallConstants: await readSmallTensors(model, tensors),
    onProgress: options.onProgress,
    signal: options.signal,
  });
  return {
    schemaVersion: REPORT_SCHEMA_VERSION,
    model: name,
    mode,
    options: { ...settings, compact },
    producer: { name: model.producerName ?? '', version: model.producerVersion ?? '' },
    opset: standardOpset(model.opsetImport),
    modules,
    totals: totals(modules, nodesBefore, nodesAfter),
  };
}

/** Scalars, axes and shapes, wherever they are stored: matching asks for them by value. */
export async function readSmallTensors(model: ModelProto, tensors: TensorSource): Promise<SmallConstants> {
  const numbers = new Map<TensorProto, readonly number[] | undefined>();
  const pending: Promise<void>[] = [];
  visitTensors(model, (tensor) => {
    if (!isSmall(tensor)) return;
    const stored = tensors(tensor);
    if (stored === undefined) return;
    pending.push(stored.read().then((bytes) => void numbers.set(tensor, numbersOf(bytes, stored.dataType))));
  });
  await Promise.all(pending);
  return (tensor) => numbers.get(tensor) ?? inlineNumbers(tensor);
}

/** Numbers of tensors that are made while matching, from attributes of Constant nodes. */
function inlineNumbers(tensor: TensorProto): readonly number[] | undefined {
  return isSmall(tensor) && !isExternal(tensor) ? numbersOf(inlineBytes(tensor), tensor.dataType ?? 0) : undefined;
}

export function totals(
  modules: readonly ModuleReport[],
  nodesBefore: number,
  nodesAfter: number,
): RewriteReport['totals'] {
  const fused = modules.filter(({ status }) => status === 'fused') as Extract<ModuleReport, { status: 'fused' }>[];
  return {
    modules: modules.length,
    fused: fused.length,
    full: fused.filter(({ form }) => form.norm === 'full').length,
    composeOnly: fused.filter(({ form }) => form.norm === 'composeOnly').length,
    skipped: modules.filter(({ status }) => status === 'skipped').length,
    already: modules.filter(({ status }) => status === 'already').length,
    nodesBefore,
    nodesAfter,
    bytesSaved: fused.reduce((sum, { bytesSaved }) => sum + bytesSaved, 0),
  };
}
