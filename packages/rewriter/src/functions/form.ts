/**
 * Operator forms: which variant of an `ort.dora` operator a node uses.
 *
 * A form decides everything about a function body that ONNX attributes cannot: element types, the presence of the
 * bias and the stored layouts. One model-local function *overload* (IR version 10) exists per form in use.
 */

/** Element types of the operators, named as in onnxruntime-common. */
export type FloatType = 'float32' | 'float16' | 'bfloat16';

/** 0: stored as PyTorch has it (W `[out,in]`, A `[r,in]`, B `[out,r]`); 1: stored transposed. */
export type Transposed = 0 | 1;

/** Where channels are: last for Linear, 1 for Conv outputs, whose rank (with batch and channels) must then be known. */
export type ChannelAxis = { readonly axis: -1 } | { readonly axis: 1; readonly rank: 3 | 4 | 5 };

/** Layouts of the three matrices. */
export interface Layouts {
  readonly transW: Transposed;
  readonly transA: Transposed;
  readonly transB: Transposed;
}

/** `g = m / ‖W + s·B·A‖` per output row, float32 `[out]`. */
export interface DoraScaleForm extends Layouts {
  readonly op: 'DoraScale';
  /** T: element type of W. */
  readonly weight: FloatType;
  /** U: element type of A and B. */
  readonly adapter: FloatType;
  /** Element type of m. */
  readonly magnitude: FloatType;
}

/** `g·(base + s·lora) + bias`, or `base + (g−1)·(base − bias) + g·s·lora` where the base already holds the bias. */
export interface DoraComposeForm {
  readonly op: 'DoraCompose';
  /** T: element type of base, bias and the output. */
  readonly base: FloatType;
  /** U: element type of lora. */
  readonly lora: FloatType;
  /** `inBase`: base holds the bias already (`base_has_bias` 1); `separate`: it is added last. */
  readonly bias: 'none' | 'separate' | 'inBase';
  readonly channels: ChannelAxis;
}

/** `g·(x·Wᵀ + s·(x·Aᵀ)·Bᵀ) + bias`. */
export interface DoraLinearForm extends Layouts {
  readonly op: 'DoraLinear';
  /** T: element type of x, W, bias and the output. */
  readonly base: FloatType;
  /** U: element type of A and B. */
  readonly adapter: FloatType;
  readonly bias: boolean;
}

/** Gradients of {@link DoraComposeForm} with the channels last. */
export interface DoraComposeGradForm {
  readonly op: 'DoraComposeGrad';
  /** T: element type of dy, base and d_base. */
  readonly base: FloatType;
  /** U: element type of lora and d_lora. */
  readonly lora: FloatType;
}

/** {@link DoraLinearForm} with the adapter of each run of rows taken from a bank; A and B lie in it as PyTorch has them. */
export interface DoraLinearBankForm {
  readonly op: 'DoraLinearBank';
  /** T: element type of x, W, bias and the output. */
  readonly base: FloatType;
  /** U: element type of the bank. */
  readonly adapter: FloatType;
  readonly transW: Transposed;
  readonly bias: boolean;
}

/** {@link DoraComposeForm} with the channels last over a base computed elsewhere, and the adapter of each run from a bank. */
export interface DoraComposeBankForm {
  readonly op: 'DoraComposeBank';
  /** T: element type of x, base, bias and the output. */
  readonly base: FloatType;
  /** U: element type of the bank. */
  readonly adapter: FloatType;
  /** As in {@link DoraComposeForm}. */
  readonly bias: DoraComposeForm['bias'];
}

/** The forms whose adapters come from a bank. */
export type BankForm = DoraLinearBankForm | DoraComposeBankForm;

/** Any operator form that has a function body. */
export type OperatorForm = DoraScaleForm | DoraComposeForm | DoraLinearForm | DoraComposeGradForm | BankForm;

/** The operators that have a function body. */
export type OperatorName = OperatorForm['op'];

/**
 * Decides the bodies of bfloat16 forms only. `cuda`: matrix products natively in bfloat16. `cpu`: through float32,
 * because ONNX Runtime's CPU provider has no bfloat16 MatMul.
 */
export type BodyTarget = 'cuda' | 'cpu';

/** What a body is built for besides its form. */
export interface BodyOptions {
  /** The model's opset of the default ONNX domain: bodies are read at that version. At least 11. */
  readonly opset: number;
  readonly target: BodyTarget;
  /** The value of the `scaling` attribute; needed below opset 12 only, where a body cannot refer to it. */
  readonly scaling?: number;
  /**
   * For calls from inside a model-local function: the function then has no overload name, because ONNX Runtime 1.30 does
   * not find overloads from there ("not a registered function/op"). One form of each operator can be used so.
   */
  readonly nested?: boolean;
}

/** First opset whose `Constant` takes a float attribute, by which a body can refer to `scaling`. */
export const SCALING_BY_REFERENCE_OPSET = 12;

/** Oldest opset that the bodies are written for; those of the banks refer to attributes and need {@link SCALING_BY_REFERENCE_OPSET}. */
export const OLDEST_OPSET = 11;

/** Whether the adapters of `form` come from a bank. */
export function isBankForm(form: OperatorForm): form is BankForm {
  return form.op === 'DoraLinearBank' || form.op === 'DoraComposeBank';
}

/** The name of the overload that nodes of a form call. */
export function overloadName(form: OperatorForm, options: BodyOptions): string {
  return options.nested === true ? '' : bodyName(form, options);
}

/** Stable, readable and different for every different body of one operator at one opset. */
export function bodyName(form: OperatorForm, options: BodyOptions): string {
  const parts = [...formParts(form)];
  if (options.target === 'cpu' && usesBfloat16(form)) parts.push('via_float32');
  if (options.opset < SCALING_BY_REFERENCE_OPSET) parts.push(`scaling_${options.scaling}`);
  return parts.join('_');
}

const COMPOSE_BIAS = { none: [], separate: ['bias'], inBase: ['bias_in_base'] } as const;

function formParts(form: OperatorForm): string[] {
  switch (form.op) {
    case 'DoraScale':
      return [...types(form.weight, form.adapter, form.magnitude), layouts(form)];
    case 'DoraLinear':
      return [...types(form.base, form.adapter), layouts(form), ...(form.bias ? ['bias'] : [])];
    case 'DoraCompose':
      return [
        ...types(form.base, form.lora),
        ...(form.channels.axis === 1 ? [`channels_first_${form.channels.rank}d`] : []),
        ...COMPOSE_BIAS[form.bias],
      ];
    case 'DoraComposeGrad':
      return types(form.base, form.lora);
    case 'DoraLinearBank':
      return [...types(form.base, form.adapter), `w${form.transW}`, ...(form.bias ? ['bias'] : [])];
    case 'DoraComposeBank':
      return [...types(form.base, form.adapter), ...COMPOSE_BIAS[form.bias]];
  }
}

function types(...all: readonly FloatType[]): string[] {
  return all.every((type) => type === all[0]) ? all.slice(0, 1) : [...all];
}

function layouts({ transW, transA, transB }: Layouts): string {
  return `w${transW}a${transA}b${transB}`;
}

function usesBfloat16(form: OperatorForm): boolean {
  return Object.values(form).includes('bfloat16');
}

/** The type in which a body multiplies matrices that are stored as `type`. */
export function productType(type: FloatType, target: BodyTarget): FloatType {
  return type === 'bfloat16' && target === 'cpu' ? 'float32' : type;
}
