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
import { doraComposeBankBody } from './dora-compose-bank.js';
import { doraComposeGradBody } from './dora-compose-grad.js';
import { doraLinearBody } from './dora-linear.js';
import { doraLinearBankBody } from './dora-linear-bank.js';
import { doraScaleBody } from './dora-scale.js';
import {
  type BankForm,
  type BodyOptions,
  bodyName,
  type FloatType,
  isBankForm,
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
 * @throws RangeError for an opset older than 11, or older than 12 without `options.scaling` or for a bank.
 */
export function operatorFunction(form: OperatorForm, options: BodyOptions): FunctionProto {
  const { opset } = options;
  const oldest = isBankForm(form) ? SCALING_BY_REFERENCE_OPSET : OLDEST_OPSET;
  if (!(opset >= oldest)) {
    throw new RangeError(`opset: expected ${oldest} or newer for the function body of ${form.op}, got ${opset}`);
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
    attributes: [
      ...(isBankForm(form) ? Object.keys(PLACE_ATTRIBUTES) : ['scaling']),
      ...Object.keys(signature.integers),
    ],
    nodes: body(form, options, byReference ? undefined : options.scaling).nodes.map(toNodeProto),
    opsets: { '': opset },
    docString: DESCRIPTION[form.op],
  });
  setMetadata(made, FORM_METADATA, bodyName(form, options));
  return made;
}

/** Where a row of the bank holds the adapter of one module: offsets and sizes in elements. */
export interface BankPlace {
  /** A `[maxRank,in]` and B `[out,maxRank]`, zero where the adapter's rank is less, in the bank. */
  readonly offsetA: number;
  readonly offsetB: number;
  /** g `[out]`, in the gains. */
  readonly offsetG: number;
  readonly maxRank: number;
}

/** The attributes of a node that its form does not decide. */
export type OperatorAttributes<F extends OperatorForm> = F extends BankForm
  ? { readonly place: BankPlace }
  : { readonly scaling: number };

/** A node that calls the operator of `form`. */
export function operatorNode<F extends OperatorForm>(
  form: F,
  options: BodyOptions,
  call: OperatorAttributes<F> & {
    readonly inputs: readonly string[];
    readonly outputs: readonly string[];
    readonly name?: string;
    readonly metadataProps?: NodeProto['metadataProps'];
  },
): NodeProto {
  const integers = Object.entries(operatorSignature(form).integers).map(([name, int]) => [name, { int }] as const);
  const node = makeNode(form.op, call.inputs, call.outputs, {
    domain: DORA_DOMAIN,
    overload: overloadName(form, options),
    attributes: { ...ownAttributes(call), ...Object.fromEntries(integers) },
    ...(call.name === undefined ? {} : { name: call.name }),
  });
  return { ...node, metadataProps: [...(call.metadataProps ?? [])] };
}

/** One input or output of an operator form. */
export interface OperatorValue {
  readonly name: string;
  readonly type: FloatType | 'int32';
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
    case 'DoraLinearBank':
      return {
        inputs: values(
          ['x', form.base],
          ['W', form.base],
          ...bankInputs(form),
          ...(form.bias ? [['bias', form.base] as const] : []),
        ),
        outputs: values(['y', form.base]),
        integers: { transW: form.transW },
      };
    case 'DoraComposeBank':
      return {
        inputs: values(
          ['x', form.base],
          ['base', form.base],
          ...bankInputs(form),
          ...(form.bias === 'none' ? [] : [['bias', form.base] as const]),
        ),
        outputs: values(['y', form.base]),
        integers: { base_has_bias: form.bias === 'inBase' ? 1 : 0 },
      };
  }
}

/**
 * A model of one operator node, all its inputs being graph inputs (or initializers, where given): what differential
 * tests of the kernels run, with the operator library and without.
 */
export function makeOperatorModel<F extends OperatorForm>(
  form: F,
  options: BodyOptions &
    OperatorAttributes<F> & {
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
        name: form.op,
        ...(options as OperatorAttributes<F>),
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
  DoraLinearBank:
    'y = g·(x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + bias with the adapter of the slot of each run of rows; slot −1: x·Wᵀ + bias',
  DoraComposeBank:
    'DoraCompose of base and (x·Aᵀ)·Bᵀ with the adapter of the slot of each run of rows; slot −1: base + bias',
};

/** The attributes that {@link BankPlace} becomes. */
const PLACE_ATTRIBUTES = {
  offset_a: 'offsetA',
  offset_b: 'offsetB',
  offset_g: 'offsetG',
  max_rank: 'maxRank',
} as const satisfies Record<string, keyof BankPlace>;

function ownAttributes(call: OperatorAttributes<OperatorForm>): Record<string, AttributeValue> {
  if ('scaling' in call) return { scaling: { float: call.scaling } };
  return Object.fromEntries(Object.entries(PLACE_ATTRIBUTES).map(([name, key]) => [name, { int: call.place[key] }]));
}

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
    case 'DoraLinearBank':
      return doraLinearBankBody(form, options);
    case 'DoraComposeBank':
      return doraComposeBankBody(form, options);
  }
}

function bankInputs({ adapter }: BankForm) {
  return [
    ['bank', adapter],
    ['gains', 'float32'],
    ['scaling', 'float32'],
    ['rank', 'int32'],
    ['slot', 'int32'],
  ] as const;
}

function values(...pairs: readonly (readonly [name: string, type: OperatorValue['type']])[]): OperatorValue[] {
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
    case 'intReference':
      return { reference: attribute.attribute, of: AttributeType.INT };
  }
}
