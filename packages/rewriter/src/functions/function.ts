import {
  AttributeType,
  type AttributeValue,
  type FunctionProto,
  type ModelProto,
  makeFunction,
  makeGraph,
  makeModel,
  makeNode,
  makeValueInfo,
  type NodeProto,
  setMetadata,
  type TensorProto,
} from '@ort-dora/onnx';
import { DATA_TYPE } from '../tensors/elements.js';
import { float32Tensor, int64Tensor } from '../tensors/make.js';
import type { BodyAttribute, BodyNode, BodyWriter } from './body.js';
import { doraComposeBody } from './dora-compose.js';
import { doraComposeGradBody } from './dora-compose-grad.js';
import { doraLinearBody } from './dora-linear.js';
import { doraScaleBody } from './dora-scale.js';
import {
  type BodyOptions,
  bodyName,
  type FloatType,
  OLDEST_OPSET,
  type OperatorForm,
  type OperatorName,
  overloadName,
  SCALING_BY_REFERENCE_OPSET,
} from './form.js';

/** Domain and version of the operators. */
export const DORA_DOMAIN = 'ort.dora';
export const DORA_OPSET_VERSION = 1;

/** Metadata of our functions: which form they are, whatever their overload is called. */
export const FORM_METADATA = 'ort_dora.form';

/** Overloads of model-local functions exist from this IR version on. */
export const OVERLOAD_IR_VERSION = 10;

/**
 * The operator of `form` as a model-local function of domain `ort.dora`, built from standard operators of
 * `options.opset`: what ONNX Runtime runs where no kernel of that name is registered, and the kernel's reference.
 *
 * @throws RangeError for an opset older than 11, or older than 12 without `options.scaling`.
 */
export function operatorFunction(form: OperatorForm, options: BodyOptions): FunctionProto {
  const { opset } = options;
  if (!(opset >= OLDEST_OPSET)) {
    throw new RangeError(`opset: expected ${OLDEST_OPSET} or newer for the function bodies of ort.dora, got ${opset}`);
  }
  const byReference = opset >= SCALING_BY_REFERENCE_OPSET;
  if (!byReference && options.scaling === undefined) {
    throw new RangeError(`scaling: needed at opset ${opset}, where a function body cannot refer to the attribute`);
  }
  const signature = operatorSignature(form);
  const made = makeFunction(DORA_DOMAIN, form.op, {
    overload: overloadName(form, options),
    inputs: signature.inputs.map(({ name }) => name),
    outputs: signature.outputs.map(({ name }) => name),
    attributes: ['scaling', ...Object.keys(signature.integers)],
    nodes: body(form, options, byReference ? undefined : options.scaling).nodes.map(toNodeProto),
    opsets: { '': opset },
    docString: DESCRIPTION[form.op],
  });
  setMetadata(made, FORM_METADATA, bodyName(form, options));
  return made;
}

/** A node that calls the operator of `form`. */
export function operatorNode(
  form: OperatorForm,
  options: BodyOptions,
  call: {
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
    readonly scaling: number;
    readonly name?: string;
    readonly metadataProps?: NodeProto['metadataProps'];
  },
): NodeProto {
  const integers = Object.entries(operatorSignature(form).integers).map(([name, int]) => [name, { int }] as const);
  const node = makeNode(form.op, call.inputs, call.outputs, {
    domain: DORA_DOMAIN,
    overload: overloadName(form, options),
    attributes: { scaling: { float: call.scaling }, ...Object.fromEntries(integers) },
    ...(call.name === undefined ? {} : { name: call.name }),
  });
  return { ...node, metadataProps: [...(call.metadataProps ?? [])] };
}

/** One input or output of an operator form. */
export interface OperatorValue {
  readonly name: string;
  readonly type: FloatType;
}

/** Inputs and outputs of a form, in order, and the integer attributes that go with it. */
export interface OperatorSignature {
  readonly inputs: readonly OperatorValue[];
  readonly outputs: readonly OperatorValue[];
  readonly integers: Readonly<Record<string, number>>;
}

export function operatorSignature(form: OperatorForm): OperatorSignature {
  switch (form.op) {
    case 'DoraScale':
      return {
        inputs: values(['W', form.weight], ['A', form.adapter], ['B', form.adapter], ['m', form.magnitude]),
        outputs: values(['g', 'float32']),
        integers: { transW: form.transW, transA: form.transA, transB: form.transB },
      };
    case 'DoraLinear':
      return {
        inputs: values(
          ['x', form.base],
          ['W', form.base],
          ['A', form.adapter],
          ['B', form.adapter],
          ['g', 'float32'],
          ...(form.bias ? [['bias', form.base] as const] : []),
        ),
        outputs: values(['y', form.base]),
        integers: { transW: form.transW, transA: form.transA, transB: form.transB },
      };
    case 'DoraCompose':
      return {
        inputs: values(
          ['base', form.base],
          ['lora', form.lora],
          ['g', 'float32'],
          ...(form.bias === 'none' ? [] : [['bias', form.base] as const]),
        ),
        outputs: values(['y', form.base]),
        integers: { base_has_bias: form.bias === 'inBase' ? 1 : 0, axis: form.channels.axis },
      };
    case 'DoraComposeGrad':
      return {
        inputs: values(['dy', form.base], ['base', form.base], ['lora', form.lora], ['g', 'float32']),
        outputs: values(['d_base', form.base], ['d_lora', form.lora], ['d_g', 'float32']),
        integers: {},
      };
  }
}

/**
 * A model of one operator node, all its inputs being graph inputs (or initializers, where given): what differential
 * tests of the kernels run, with the operator library and without.
 */
export function makeOperatorModel(
  form: OperatorForm,
  options: BodyOptions & {
    readonly scaling: number;
    /** Inputs to store in the model, named as in {@link operatorSignature}. */
    readonly initializers?: readonly TensorProto[];
    /** False: no function body, so that only a registered kernel can run the node. Default true. */
    readonly withFunction?: boolean;
  },
): ModelProto {
  const signature = operatorSignature(form);
  const initializers = options.initializers ?? [];
  const stored = new Set(initializers.map(({ name }) => name));
  const info = ({ name, type }: OperatorValue) => makeValueInfo(name, DATA_TYPE[type]);
  const graph = makeGraph(form.op, {
    inputs: signature.inputs.filter(({ name }) => !stored.has(name)).map(info),
    outputs: signature.outputs.map(info),
    initializers,
    nodes: [
      operatorNode(form, options, {
        inputs: signature.inputs.map(({ name }) => name),
        outputs: signature.outputs.map(({ name }) => name),
        scaling: options.scaling,
        name: form.op,
      }),
    ],
  });
  return makeModel(graph, {
    irVersion: OVERLOAD_IR_VERSION,
    producerName: 'ort-dora',
    opsets: { '': options.opset, [DORA_DOMAIN]: DORA_OPSET_VERSION },
    functions: options.withFunction === false ? [] : [operatorFunction(form, options)],
  });
}

const DESCRIPTION: Readonly<Record<OperatorName, string>> = {
  DoraScale: 'g = m / ‖W + s·B·A‖ per output row',
  DoraLinear: 'y = g·(x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + bias',
  DoraCompose: 'y = g·(base + s·lora) + bias, or base + (g−1)·(base − bias) + g·s·lora where base holds the bias',
  DoraComposeGrad: 'd_base = g·dy, d_lora = s·g·dy, d_g = Σ dy·(base + s·lora)',
};

function body(form: OperatorForm, options: BodyOptions, scaling: number | undefined): BodyWriter {
  switch (form.op) {
    case 'DoraScale':
      return doraScaleBody(form, options, scaling);
    case 'DoraLinear':
      return doraLinearBody(form, options, scaling);
    case 'DoraCompose':
      return doraComposeBody(form, options, scaling);
    case 'DoraComposeGrad':
      return doraComposeGradBody(form, options, scaling);
  }
}

function values(...pairs: readonly (readonly [name: string, type: FloatType])[]): OperatorValue[] {
  return pairs.map(([name, type]) => ({ name, type }));
}

function toNodeProto(node: BodyNode): NodeProto {
  const attributes = Object.entries(node.attributes).map(([name, attribute]) => [name, attributeValue(attribute)]);
  return makeNode(node.opType, node.inputs, node.outputs, { attributes: Object.fromEntries(attributes) });
}

function attributeValue(attribute: BodyAttribute): AttributeValue {
  switch (attribute.kind) {
    case 'int':
      return { int: attribute.value };
    case 'ints':
      return { ints: attribute.value };
    case 'float32Tensor':
      return { tensor: float32Tensor('', [], Float32Array.of(attribute.value)) };
    case 'int64Tensor':
      return { tensor: int64Tensor('', [attribute.value.length], attribute.value) };
    case 'floatReference':
      return { reference: attribute.attribute, of: AttributeType.FLOAT };
  }
}
