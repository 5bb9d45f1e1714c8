/** Writes one adapted module into the graphs of its base. */

import { intAttribute, intsAttribute, type NodeProto } from '@ort-dora/onnx';
import type { ChannelAxis, DoraComposeForm, DoraLinearForm, FloatType } from '../functions/form.js';
import { normOf } from '../norm/norm.js';
import { RewriteError } from '../rewrite/error.js';
import { floatType } from '../tensors/elements.js';
import { float32Tensor } from '../tensors/make.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';
import { type AttachModule, inOperatorType } from './adapter-module.js';
import type { BaseLayer } from './base-layers.js';
import {
  type InsertContext,
  type InsertParts,
  loraPath,
  type ModuleValues,
  resultPlace,
  storedTensor,
} from './insert-parts.js';
import { insertReference } from './insert-reference.js';
import { normRequest } from './norm-request.js';

/** What was written for one layer of a module. */
export interface InsertedLayer {
  readonly layer: BaseLayer;
  /** The node that computes the module's result. */
  readonly node: NodeProto;
  /** Element type of the layer. */
  readonly type: FloatType;
  /** Of A and B in the graph. */
  readonly adapterType: FloatType;
  /** Names of values of the graph. */
  readonly values: ModuleValues & {
    /** The layer's own result, where it is a value of the graph; else the module's. */
    readonly base: string;
    readonly weight: string | undefined;
    /** The adapter's result, where it is a value of the graph. */
    readonly lora: string | undefined;
  };
}

/**
 * Writes a module at each of its layers: DoraLinear over a float weight, else (and with `--form compose`) the path of A and
 * B as standard nodes and DoraCompose behind the layer, which stays as it is. LoRA without magnitudes is written the same
 * way with a g of ones, which changes no bit: one operator serves both, and a bank can hold both.
 *
 * @returns g besides, unless a reference computes it in the graph
 * @throws RewriteError `attach` where the layer cannot carry the module.
 */
export async function insertModule(
  context: InsertContext,
  module: AttachModule,
  layers: readonly BaseLayer[],
): Promise<{ readonly inserted: readonly InsertedLayer[]; readonly gain: Float32Array | undefined }> {
  const [first] = layers as [BaseLayer];
  for (const layer of layers) refuseUnsupported(module.path, layer);
  const type = typeOf(first);
  const [loraA, loraB] = inOperatorType(type, module.loraA, module.loraB) as [FloatTensor, FloatTensor];
  const { path, magnitude } = module;
  const { writer, form } = context;
  const gain = form === 'reference' ? undefined : await gainOf(context, module, first);
  const common: ModuleValues = {
    loraA: writer.initializer(storedTensor(context, `${path}.lora_A.weight`, loraA)),
    loraB: writer.initializer(storedTensor(context, `${path}.lora_B.weight`, loraB)),
    gain: gain && writer.initializer(float32Tensor(`${path}.dora_gain`, [gain.length], gain)),
    magnitude:
      form === 'reference' && magnitude !== undefined
        ? writer.initializer(storedTensor(context, `${path}.lora_magnitude_vector`, magnitude))
        : undefined,
  };
  const adapterType = loraA.type;
  const inserted = layers.map((layer): InsertedLayer => {
    const parts: InsertParts = { context, module, layer, type, adapterType, values: common };
    const described = { layer, type, adapterType };
    if (form === 'reference') {
      const { node, ...values } = insertReference(parts, common.magnitude);
      return { ...described, node, values: { ...common, ...values } };
    }
    const asLinear = form === 'linear' && layer.kind === 'linear' && layer.weight.quantizedBy === undefined;
    const node = asLinear ? insertLinear(parts) : insertCompose(parts);
    const [base = '', lora] = asLinear ? [node.output[0]] : node.input;
    return { ...described, node, values: { ...common, base, lora, weight: layer.weight.value } };
  });
  return { inserted, gain };
}

function insertLinear({ context, module, layer, type, adapterType, values }: InsertParts): NodeProto {
  const { bias, weight, x } = layer;
  const form: DoraLinearForm = {
    op: 'DoraLinear',
    base: type,
    adapter: adapterType,
    bias: bias !== undefined,
    transW: weight.transposed,
    transA: 0,
    transB: 0,
  };
  return context.writer.replace(resultPlace(layer), form, {
    inputs: [x, weight.value!, values.loraA, values.loraB, values.gain!, ...(bias === undefined ? [] : [bias.value])],
    scaling: module.scaling,
    name: module.path,
  });
}

/** As a rewrite with `--form compose` has it: behind the whole layer, its bias included. */
function insertCompose(parts: InsertParts): NodeProto {
  const { context, module, layer, type, adapterType, values } = parts;
  const { bias } = layer;
  const channels: ChannelAxis =
    layer.kind === 'conv' ? { axis: 1, rank: layer.weightShape.length as 3 | 4 | 5 } : { axis: -1 };
  const lora = loraPath(parts);
  const form: DoraComposeForm = {
    op: 'DoraCompose',
    base: type,
    lora: adapterType,
    bias: bias === undefined ? 'none' : 'inBase',
    channels,
  };
  return context.writer.append(resultPlace(layer), form, (base) => ({
    inputs: [base, lora, values.gain!, ...(bias === undefined ? [] : [bias.value])],
    scaling: module.scaling,
    name: module.path,
  }));
}

/** The type that the layer computes in. */
export function typeOf({ facts, product, weight }: BaseLayer): FloatType {
  return floatType(facts.elementType(product)) ?? weight.type;
}

/** @throws RewriteError `attach` where the operators do not compute what PEFT would with an adapter at this layer. */
export function refuseUnsupported(path: string, layer: BaseLayer): void {
  const refuse = (what: string) => new RewriteError('attach', `${path}: ${what}`);
  if (layer.kind === 'linear' && layer.facts.shape(layer.x)?.length === 1) {
    throw refuse('the layer reads a single vector, of which the operators would make a row');
  }
  if (layer.kind !== 'conv') return;
  const group = intAttribute(layer.node, 'group') ?? 1;
  if (group !== 1) throw refuse(`adapters on convolutions in ${group} groups are not attached`);
  const kernel = layer.weightShape.slice(2);
  const dilations = intsAttribute(layer.node, 'dilations') ?? [];
  if (kernel.some((size, axis) => size > 1 && (dilations[axis] ?? 1) !== 1)) {
    throw refuse(
      'adapters on dilated convolutions are not attached: PEFT makes their A without dilation, and cannot run them',
    );
  }
}

/** m / ‖W + s·B·A‖ on the stored or dequantized W, or ones without m. */
async function gainOf(context: InsertContext, module: AttachModule, layer: BaseLayer): Promise<Float32Array> {
  const request = normRequest(module, { ...layer.weight, kind: layer.kind }, context.signal);
  if (request === undefined) return new Float32Array(module.outFeatures).fill(1);
  return normOf(context.compute, request);
}
