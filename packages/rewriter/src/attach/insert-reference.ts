/**
 * An adapted layer as PEFT computes it: standard operators, PEFT's order of operations and casts, the norm in the graph.
 * An attached model is verified against it; it shares nothing with the operators, and computes g by itself.
 */

import { type AttributeValue, makeEntries, makeNode, type NodeProto } from '@ort-dora/onnx';
import type { FloatType } from '../functions/form.js';
import { DATA_TYPE } from '../tensors/elements.js';
import { float32Tensor, int64Tensor } from '../tensors/make.js';
import type { GraphWriter } from './graph-writer.js';
import { type InsertParts, loraPath, resultPlace, storedTensor } from './insert-parts.js';

/** What was written, and the names of what it reads. */
export interface InsertedReference {
  /** The node that computes the module's result. */
  readonly node: NodeProto;
  /** The layer's own result, with its bias. */
  readonly base: string;
  readonly weight: string;
  /** The adapter's result. */
  readonly lora: string;
}

/**
 * `y0 + ((g − 1)·(y0 − bias) + (g·lora)·s)` (PEFT `DoraLinearLayer.forward`), or `y0 + lora·s` without a magnitude. The name
 * of the layer's result goes over to it.
 *
 * @param magnitude m `[out]` in the graph; undefined for LoRA without DoRA
 */
export function insertReference(parts: InsertParts, magnitude: string | undefined): InsertedReference {
  const { context, module, layer, type, adapterType } = parts;
  const { writer } = context;
  const place = resultPlace(layer);
  const output = place.node.output[0] ?? '';
  const lora = loraPath(parts);
  const weight = denseWeight(parts);
  const base = writer.rename(place);

  const nodes = new Sequence(writer, `${module.path}/peft`);
  const scaling = nodes.scalar(module.scaling, adapterType);
  const change =
    magnitude === undefined
      ? nodes.add('Mul', [lora, scaling])
      : nodes.change(parts, { base, lora, scaling, gain: nodes.gain(parts, weight, { magnitude, scaling }) });
  const sum = nodes.add('Add', [nodes.cast(base, type, adapterType), change]);
  nodes.add('Cast', [sum], { to: { int: DATA_TYPE[type] } }, output);
  layer.scope.insertAfter(place.node, ...nodes.nodes);
  const node = nodes.nodes.at(-1)!;
  node.metadataProps = makeEntries(
    Object.fromEntries(place.node.metadataProps.map(({ key = '', value = '' }) => [key, value])),
  );
  return { node, base, lora, weight: weight.value };
}

/** W as numbers in the graph. */
interface DenseWeight {
  readonly value: string;
  readonly type: FloatType;
  readonly transposed: 0 | 1;
}

/**
 * A quantized weight is stored a second time, dequantized: with a reader besides its product, runtimes would compute that
 * product in another way than they do in the base.
 */
function denseWeight({ context, module, layer, type }: InsertParts): DenseWeight {
  const { value, transposed, numbers, numbersTransposed, quantizedBy } = layer.weight;
  if (value !== undefined && quantizedBy === undefined) return { value, type, transposed };
  const name = context.writer.initializer(storedTensor(context, `${module.path}.weight`, numbers));
  return { value: name, type: numbers.type, transposed: numbersTransposed };
}

/** Nodes in order, to be inserted at one place. */
class Sequence {
  readonly nodes: NodeProto[] = [];

  constructor(
    private readonly writer: GraphWriter,
    private readonly prefix: string,
  ) {}

  add(
    opType: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, AttributeValue>> = {},
    output = this.writer.view.freshName(`${this.prefix}_${opType}`),
  ): string {
    const name = this.writer.view.freshName(`${this.prefix}_node_${opType}`);
    this.nodes.push(makeNode(opType, inputs, [output], { name, attributes }));
    return output;
  }

  cast(value: string, from: FloatType, to: FloatType): string {
    return from === to ? value : this.add('Cast', [value], { to: { int: DATA_TYPE[to] } });
  }

  scalar(value: number, type: FloatType): string {
    const name = this.writer.initializer(float32Tensor(`${this.prefix}_scalar`, [], Float32Array.of(value)));
    return this.cast(name, 'float32', type);
  }

  reshape(value: string, dims: readonly number[]): string {
    const shape = this.writer.initializer(int64Tensor(`${this.prefix}_shape`, [dims.length], dims));
    return this.add('Reshape', [value, shape]);
  }

  /** m / ‖W + s·(B·A)‖ in the type of A and B (PEFT `get_weight_norm`). */
  gain(
    { module, layer, adapterType, values }: InsertParts,
    weight: DenseWeight,
    { magnitude, scaling }: Readonly<Record<'magnitude' | 'scaling', string>>,
  ): string {
    const rows = (value: string, count: number) => (layer.kind === 'conv' ? this.reshape(value, [count, -1]) : value);
    const delta = this.add('MatMul', [rows(values.loraB, module.outFeatures), rows(values.loraA, module.rank)]);
    const wide = this.cast(weight.value, weight.type, adapterType);
    const storedByInputs = (layer.kind === 'embedding') !== (weight.transposed === 1);
    const byOutputs = storedByInputs
      ? this.add('Transpose', [wide], { perm: { ints: [1, 0] } })
      : rows(wide, module.outFeatures);
    const adapted = this.add('Add', [byOutputs, this.add('Mul', [delta, scaling])]);
    const keepdims = { keepdims: { int: 0 } };
    const norm =
      (layer.scope.opset() ?? 0) < 18
        ? this.add('ReduceL2', [adapted], { axes: { ints: [1] }, ...keepdims })
        : this.add('ReduceL2', [adapted, this.#axes(1)], keepdims);
    const m = this.cast(magnitude, module.magnitude?.type ?? adapterType, adapterType);
    return this.add('Div', [m, norm]);
  }

  /** (g − 1)·(y0 − bias) + (g·lora)·s */
  change(
    { layer, type, adapterType }: InsertParts,
    { base, lora, scaling, gain }: Readonly<Record<'base' | 'lora' | 'scaling' | 'gain', string>>,
  ): string {
    const alongChannels = (vector: string) =>
      layer.kind === 'conv'
        ? this.reshape(vector, [-1, ...Array<number>(layer.weightShape.length - 2).fill(1)])
        : vector;
    const unbiased = layer.bias === undefined ? base : this.add('Sub', [base, alongChannels(layer.bias.value)]);
    const g = alongChannels(gain);
    const excess = this.add('Sub', [g, this.scalar(1, adapterType)]);
    const ofBase = this.add('Mul', [excess, this.cast(unbiased, type, adapterType)]);
    return this.add('Add', [ofBase, this.add('Mul', [this.add('Mul', [g, lora]), scaling])]);
  }

  #axes(axis: number): string {
    return this.writer.initializer(int64Tensor(`${this.prefix}_axes`, [1], [axis]));
  }
}
