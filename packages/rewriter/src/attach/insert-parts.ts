/** What all ways of writing an adapted layer have in common. */

import { intsAttribute, type TensorProto } from '@ort-dora/onnx';
import type { FloatType } from '../functions/form.js';
import type { NormCompute } from '../norm/norm.js';
import type { RewriteSettings } from '../rewrite/settings.js';
import { DATA_TYPE } from '../tensors/elements.js';
import { emptyTensor } from '../tensors/make.js';
import type { FloatTensor } from '../tensors/stored-tensor.js';
import type { AttachModule } from './adapter-module.js';
import { type AdapterStore, storedElements } from './adapter-store.js';
import type { BaseLayer } from './base-layers.js';
import type { GraphWriter, Place } from './graph-writer.js';

export interface InsertContext {
  readonly writer: GraphWriter;
  readonly store: AdapterStore;
  /** `reference`: see {@link insertReference}. */
  readonly form: RewriteSettings['form'] | 'reference';
  readonly compute: NormCompute;
  readonly signal: AbortSignal | undefined;
}

/** Initializers of one module, shared by the layers that it is. */
export interface ModuleValues {
  readonly loraA: string;
  readonly loraB: string;
  /** g, or in a reference with a magnitude m. */
  readonly gain: string | undefined;
  readonly magnitude: string | undefined;
}

/** Everything about one module at one of its layers. */
export interface InsertParts {
  readonly context: InsertContext;
  readonly module: AttachModule;
  readonly layer: BaseLayer;
  readonly type: FloatType;
  readonly adapterType: FloatType;
  readonly values: ModuleValues;
}

/** The nodes that compute B·(A·x) in front of the layer. A and B stay as PEFT stores them: runtimes fold transposes at load. */
export function loraPath(parts: InsertParts): string {
  return LORA_PATH[parts.layer.kind](parts);
}

const LORA_PATH: Readonly<Record<BaseLayer['kind'], (parts: InsertParts) => string>> = {
  linear: (parts) => {
    const { context, module, layer, values } = parts;
    const { writer } = context;
    const a = transposed(parts, values.loraA);
    const reduced = writer.compute(layer, 'MatMul', [adapterInput(parts), a], `${module.path}/lora_A`);
    return writer.compute(layer, 'MatMul', [reduced, transposed(parts, values.loraB)], `${module.path}/lora_B`);
  },
  embedding: (parts) => {
    const { context, module, layer, values } = parts;
    const { writer } = context;
    const looked = writer.compute(layer, 'Gather', [transposed(parts, values.loraA), layer.x], `${module.path}/lora_A`);
    return writer.compute(layer, 'MatMul', [looked, transposed(parts, values.loraB)], `${module.path}/lora_B`);
  },
  conv: (parts) => {
    const { context, module, layer, values } = parts;
    const { writer } = context;
    const ints = (name: string) => {
      const value = intsAttribute(layer.node, name);
      return value === undefined ? {} : { [name]: { ints: value } };
    };
    const padding = layer.node.attribute.find(({ name }) => name === 'auto_pad')?.s;
    const reduced = writer.compute(layer, 'Conv', [adapterInput(parts), values.loraA], `${module.path}/lora_A`, {
      ...(padding === undefined ? {} : { auto_pad: { string: padding } }),
      ...ints('kernel_shape'),
      ...ints('strides'),
      ...ints('pads'),
    });
    return writer.compute(layer, 'Conv', [reduced, values.loraB], `${module.path}/lora_B`);
  },
};

/** x in the type of A and B. */
function adapterInput({ context, module, layer, type, adapterType }: InsertParts): string {
  if (type === adapterType) return layer.x;
  return context.writer.compute(layer, 'Cast', [layer.x], `${module.path}/x`, { to: { int: DATA_TYPE[adapterType] } });
}

function transposed({ context, layer }: InsertParts, matrix: string): string {
  return context.writer.compute(layer, 'Transpose', [matrix], `${matrix}/transposed`, { perm: { ints: [1, 0] } });
}

/** The node whose result is the layer's: behind the addition of the bias, where there is one. */
export function resultPlace({ scope, node, bias }: BaseLayer): Place {
  return { scope, node: bias?.addition ?? node };
}

/** A tensor of the adapter as an initializer to be; its elements come with the store. */
export function storedTensor({ store }: InsertContext, name: string, source: FloatTensor): TensorProto {
  const proto = emptyTensor(name, source);
  store.add(proto, storedElements(source));
  return proto;
}
