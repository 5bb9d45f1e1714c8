/** Room for adapters in a base model: each target layer becomes a bank operator whose adapters are inputs of the graph. */

import {
  BANK_INPUTS,
  BANK_LAYOUT_METADATA,
  type BankLayout,
  type BankModule,
  formatBankLayout,
  planBank,
} from '@ort-dora/adapters';
import { makeValueInfo, setMetadata } from '@ort-dora/onnx';
import {
  type DoraComposeBankForm,
  type DoraLinearBankForm,
  type FloatType,
  SCALING_BY_REFERENCE_OPSET,
} from '../functions/form.js';
import { DORA_DOMAIN, DORA_OPSET_VERSION, OVERLOAD_IR_VERSION } from '../functions/function.js';
import { RewriteError } from '../rewrite/error.js';
import type { RewriteSettings } from '../rewrite/settings.js';
import { DATA_TYPE } from '../tensors/elements.js';
import type { BaseModel } from './attach-graph.js';
import type { BaseLayer } from './base-layers.js';
import { sameWeight } from './find-targets.js';
import { GraphWriter } from './graph-writer.js';
import { refuseUnsupported, typeOf } from './insert-module.js';
import { resultPlace } from './insert-parts.js';

export interface BankSize {
  /** Adapters that are held at once. */
  readonly slots: number;
  /** Largest rank of an adapter. */
  readonly maxRank: number;
}

/** A module that a bank has room for, and the layers that it is. */
export interface BankTarget {
  readonly path: string;
  readonly layers: readonly BaseLayer[];
}

/**
 * The linear layers that get room: those whose paths end with one of `targets`, as in PEFT's `target_modules`; without
 * them, all that PEFT's `all-linear` takes, which are all but the head of the model.
 *
 * @throws RewriteError `targets` for a target that is no layer, and for two layers of one path
 */
export async function bankTargets(
  { layers }: Pick<BaseModel, 'layers'>,
  targets: readonly string[] | undefined,
  signal?: AbortSignal,
): Promise<readonly BankTarget[]> {
  const byPath = new Map<string, BaseLayer[]>();
  for (const layer of layers) {
    const path = fullestPath(layer);
    if (layer.kind !== 'linear' || path === undefined) continue;
    if (targets === undefined ? isHead(layer, path) : !targets.some((target) => endsWith(path, target))) continue;
    byPath.set(path, [...(byPath.get(path) ?? []), layer]);
  }
  for (const [path, [first, ...others]] of byPath) {
    for (const other of others) {
      if (first === undefined || (await sameWeight(first, other, signal))) continue;
      throw new RewriteError('targets', `${path}: ${others.length + 1} layers with different weights have that path`);
    }
  }
  return [...byPath].map(([path, ofPath]) => ({ path, layers: ofPath }));
}

/**
 * Writes the operators, the five inputs and the layout, in place. The bank holds A and B in the layers' own type where
 * they have one in common, else in float32.
 *
 * @throws RewriteError `attach`, `opset`
 */
export function addBank(
  { view }: BaseModel,
  targets: readonly BankTarget[],
  { slots, maxRank }: BankSize,
  target: RewriteSettings['target'],
): BankLayout {
  const opset = view.main.opset() ?? 0;
  if (opset < SCALING_BY_REFERENCE_OPSET) {
    throw new RewriteError(
      'opset',
      `the model imports opset ${opset}; the functions of banks need ${SCALING_BY_REFERENCE_OPSET} or newer: convert the model first`,
    );
  }
  for (const name of Object.values(BANK_INPUTS)) {
    if (view.main.definition(name) !== undefined) {
      throw new RewriteError('attach', `the model has a value named ${name}: it has a bank already`);
    }
  }
  const types = new Set(targets.flatMap(({ layers }) => layers.map(typeOf)));
  const [type] = types;
  const elementType: FloatType = types.size === 1 && type !== undefined ? type : 'float32';
  const modules = new Map(targets.map(({ path, layers: [layer] }) => [path, featuresOf(layer!)]));
  const layout = planBank(modules, { slots, maxRank, elementType });
  addInputs(view.main, layout);
  const writer = new GraphWriter(view, { opset, target });
  for (const { path, layers } of targets) {
    for (const layer of layers) insertBankOperator(writer, layer, path, layout);
  }
  view.main.importOpset(DORA_DOMAIN, DORA_OPSET_VERSION);
  if ((view.model.irVersion ?? 0n) < BigInt(OVERLOAD_IR_VERSION)) view.model.irVersion = BigInt(OVERLOAD_IR_VERSION);
  setMetadata(view.model, BANK_LAYOUT_METADATA, formatBankLayout(layout));
  return layout;
}

function insertBankOperator(writer: GraphWriter, layer: BaseLayer, path: string, layout: BankLayout): void {
  refuseUnsupported(path, layer);
  const { bias, weight, x } = layer;
  const { elementType: adapter, maxRank } = layout;
  const call = { place: { ...layout.modules.get(path)!, maxRank }, name: path };
  const inputs = Object.values(BANK_INPUTS);
  const biasInput = bias === undefined ? [] : [bias.value];
  if (weight.quantizedBy === undefined) {
    const form: DoraLinearBankForm = {
      op: 'DoraLinearBank',
      base: typeOf(layer),
      adapter,
      transW: weight.transposed,
      bias: bias !== undefined,
    };
    writer.replace(resultPlace(layer), form, { ...call, inputs: [x, weight.value!, ...inputs, ...biasInput] });
  } else {
    const form: DoraComposeBankForm = {
      op: 'DoraComposeBank',
      base: typeOf(layer),
      adapter,
      bias: bias === undefined ? 'none' : 'inBase',
    };
    writer.append(resultPlace(layer), form, (base) => ({ ...call, inputs: [x, base, ...inputs, ...biasInput] }));
  }
}

function addInputs(
  graph: BaseModel['view']['main'],
  { slots, rowElements, gainElements, elementType }: BankLayout,
): void {
  const { bank, gains, scaling, rank, slot } = BANK_INPUTS;
  graph.addInput(makeValueInfo(bank, DATA_TYPE[elementType], [slots, rowElements]));
  graph.addInput(makeValueInfo(gains, DATA_TYPE.float32, [slots, gainElements]));
  graph.addInput(makeValueInfo(scaling, DATA_TYPE.float32, [slots]));
  graph.addInput(makeValueInfo(rank, DATA_TYPE.int32, [slots]));
  graph.addInput(makeValueInfo(slot, DATA_TYPE.int32, ['ort_dora.runs']));
}

function featuresOf({
  weightShape: [outFeatures = 0, inFeatures = 0],
}: BaseLayer): Pick<BankModule, 'inFeatures' | 'outFeatures'> {
  return { inFeatures, outFeatures };
}

/** The path that says most. */
function fullestPath({ names }: BaseLayer): string | undefined {
  const [first, ...others] = names.map(({ segments }) => segments);
  return others
    .reduce((fullest, segments) => (segments.length > (fullest?.length ?? 0) ? segments : fullest), first)
    ?.join('.');
}

/** Names of the last layer of language models in transformers (`get_output_embeddings`). */
const HEADS: ReadonlySet<string> = new Set(['lm_head', 'embed_out', 'output_projection']);

function isHead({ scope, product }: BaseLayer, path: string): boolean {
  return HEADS.has(path.split('.').at(-1) ?? '') || (scope.isOutput(product) && product === 'logits');
}

function endsWith(path: string, target: string): boolean {
  return path === target || path.endsWith(`.${target}`);
}
