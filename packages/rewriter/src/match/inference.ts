/**
 * Element types and shapes of values that the file does not declare (legacy exports declare none inside the graph).
 *
 * One pass over the nodes in order. It knows the operators that transformers are made of; whatever it does not know
 * stays unknown, and matching then asks no less than before: it refuses.
 */
import {
  DataType,
  intAttribute,
  intsAttribute,
  type NodeProto,
  type TensorProto,
  tensorAttribute,
} from '@ort-dora/onnx';

export type Shape = readonly (number | undefined)[];

/** What is known of a value. */
export interface ValueType {
  readonly elementType?: number | undefined;
  readonly shape?: Shape | undefined;
}

/** What inference may ask about the values before it. */
export interface KnownValues {
  type(value: string): ValueType;
  integers(value: string): readonly number[] | undefined;
}

/** The types of a node's outputs, as far as they follow from its inputs. */
export function inferOutputs(node: NodeProto, known: KnownValues): readonly ValueType[] {
  const infer = RULES.get(node.opType ?? '');
  if (infer === undefined || !DOMAINS.has(node.domain ?? '')) return [];
  const inputs = node.input.map((input) => (input === '' ? {} : known.type(input)));
  return infer(node, inputs, known);
}

/** Domains whose operators the rules know: ONNX and ONNX Runtime's contributed ones. */
const DOMAINS: ReadonlySet<string> = new Set(['', 'ai.onnx', 'com.microsoft']);

type Rule = (node: NodeProto, inputs: readonly ValueType[], known: KnownValues) => readonly ValueType[];

const asFirst: Rule = (_, [first = {}]) => [first];

const elementwise: Rule = (_, inputs) => [
  { elementType: inputs.find(({ elementType }) => elementType !== undefined)?.elementType, shape: broadcast(inputs) },
];

/** Exponents may have a type of their own. */
const pow: Rule = (_, inputs) => [{ elementType: inputs[0]?.elementType, shape: broadcast(inputs) }];

const where: Rule = (_, inputs) => [
  { elementType: inputs[1]?.elementType ?? inputs[2]?.elementType, shape: broadcast(inputs) },
];

const eyeLike: Rule = (node, [first = {}]) => [
  { elementType: intAttribute(node, 'dtype') ?? first.elementType, shape: first.shape },
];

const comparison: Rule = (_, inputs) => [{ elementType: DataType.BOOL, shape: broadcast(inputs) }];

/** Same rank and type as the first input; sizes may change. */
const sameRank: Rule = (node, [first = {}]) =>
  node.output.map(() => ({ elementType: first.elementType, shape: first.shape?.map(() => undefined) }));

const matMul: Rule = (_, [left = {}, right = {}]) => {
  const elementType = left.elementType ?? right.elementType;
  const [a, b] = [left.shape, right.shape];
  if (a === undefined || b === undefined || a.length < 2 || b.length < 2) {
    // A matrix on the right leaves a rank of two or more as it is.
    return [{ elementType }];
  }
  const batch = broadcast([{ shape: a.slice(0, -2) }, { shape: b.slice(0, -2) }]) ?? [];
  return [{ elementType, shape: [...batch, a.at(-2), b.at(-1)] }];
};

const gemm: Rule = (node, [left = {}, right = {}]) => {
  const rows = (intAttribute(node, 'transA') ?? 0) === 0 ? left.shape?.[0] : left.shape?.[1];
  const columns = (intAttribute(node, 'transB') ?? 0) === 0 ? right.shape?.[1] : right.shape?.[0];
  return [{ elementType: left.elementType ?? right.elementType, shape: [rows, columns] }];
};

/** The type of the scales, unless the node says another one (opset 23). */
const dequantizeLinear: Rule = (node, [first = {}, scale = {}]) => [
  { elementType: intAttribute(node, 'output_dtype') || scale.elementType, shape: first.shape },
];

const matMulNBits: Rule = (node, [first = {}]) => {
  const shape = first.shape === undefined ? undefined : [...first.shape.slice(0, -1), intAttribute(node, 'N')];
  return [{ elementType: first.elementType, shape }];
};

const cast: Rule = (node, [first = {}]) => [{ elementType: intAttribute(node, 'to'), shape: first.shape }];

const transpose: Rule = (node, [first = {}]) => {
  const perm = intsAttribute(node, 'perm');
  const shape = perm === undefined ? first.shape?.toReversed() : perm.map((axis) => first.shape?.[axis]);
  return [{ elementType: first.elementType, shape }];
};

const reshape: Rule = (node, [first = {}], known) => {
  const target = known.integers(node.input[1] ?? '') ?? undefined;
  const rank = known.type(node.input[1] ?? '').shape?.[0];
  if (target === undefined) {
    const shape = rank === undefined ? undefined : Array<undefined>(rank).fill(undefined);
    return [{ elementType: first.elementType, shape }];
  }
  const copies = (intAttribute(node, 'allowzero') ?? 0) === 0;
  const sizes = target.map((size, axis) => (size === 0 && copies ? first.shape?.[axis] : size));
  const total = product(first.shape);
  const rest = product(sizes.filter((size) => size !== -1));
  const missing = total === undefined || rest === undefined || rest === 0 ? undefined : total / rest;
  return [{ elementType: first.elementType, shape: sizes.map((size) => (size === -1 ? missing : size)) }];
};

const flatten: Rule = (node, [first = {}]) => {
  const axis = intAttribute(node, 'axis') ?? 1;
  return [
    {
      elementType: first.elementType,
      shape: [product(first.shape?.slice(0, axis)), product(first.shape?.slice(axis))],
    },
  ];
};

const axesOf = (node: NodeProto, known: KnownValues, input: number): readonly number[] | undefined =>
  intsAttribute(node, 'axes') ?? known.integers(node.input[input] ?? '');

const unsqueeze: Rule = (node, [first = {}], known) => {
  const axes = axesOf(node, known, 1);
  if (axes === undefined || first.shape === undefined) return [{ elementType: first.elementType }];
  const rank = first.shape.length + axes.length;
  const inserted = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  const rest = [...first.shape];
  const shape = Array.from({ length: rank }, (_, axis) => (inserted.has(axis) ? 1 : rest.shift()));
  return [{ elementType: first.elementType, shape }];
};

const squeeze: Rule = (node, [first = {}], known) => {
  const axes = axesOf(node, known, 1);
  if (axes === undefined || first.shape === undefined) return [{ elementType: first.elementType }];
  const rank = first.shape.length;
  const dropped = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  return [{ elementType: first.elementType, shape: first.shape.filter((_, axis) => !dropped.has(axis)) }];
};

const reduce: Rule = (node, [first = {}], known) => {
  const axes = axesOf(node, known, 1);
  const { elementType, shape } = first;
  if (shape === undefined || axes === undefined) return [{ elementType }];
  const reduced = new Set(axes.map((axis) => (axis < 0 ? axis + shape.length : axis)));
  const keep = (intAttribute(node, 'keepdims') ?? 1) !== 0;
  return [
    {
      elementType,
      shape: keep
        ? shape.map((size, axis) => (reduced.has(axis) ? 1 : size))
        : shape.filter((_, axis) => !reduced.has(axis)),
    },
  ];
};

const gather: Rule = (node, [data = {}, indices = {}]) => {
  if (data.shape === undefined || indices.shape === undefined) return [{ elementType: data.elementType }];
  const axis = intAttribute(node, 'axis') ?? 0;
  const at = axis < 0 ? axis + data.shape.length : axis;
  const shape = [...data.shape.slice(0, at), ...indices.shape, ...data.shape.slice(at + 1)];
  return [{ elementType: data.elementType, shape }];
};

const concat: Rule = (node, inputs) => {
  const first = inputs.find(({ shape }) => shape !== undefined)?.shape;
  const axis = intAttribute(node, 'axis') ?? 0;
  const at = axis < 0 ? axis + (first?.length ?? 0) : axis;
  const sizes = inputs.map(({ shape }) => shape?.[at]);
  const total = sizes.reduce<number | undefined>(
    (sum, size) => (sum === undefined || size === undefined ? undefined : sum + size),
    0,
  );
  return [{ elementType: inputs[0]?.elementType, shape: first?.map((size, index) => (index === at ? total : size)) }];
};

const filled: Rule = (node, _, known) => {
  const value: TensorProto | undefined = tensorAttribute(node, 'value');
  return [{ elementType: value?.dataType ?? DataType.FLOAT, shape: known.integers(node.input[0] ?? '') }];
};

const range: Rule = (node, [first = {}], known) => {
  const [start, limit, delta] = node.input.map((input) => known.integers(input)?.[0]);
  const isKnown = start !== undefined && limit !== undefined && delta !== undefined && delta !== 0;
  const count = isKnown ? Math.max(0, Math.ceil((limit - start) / delta)) : undefined;
  return [{ elementType: first.elementType, shape: [count] }];
};

const expand: Rule = (node, [first = {}], known) => {
  const target = known.integers(node.input[1] ?? '');
  const rank = target?.length ?? known.type(node.input[1] ?? '').shape?.[0];
  if (rank === undefined || first.shape === undefined) return [{ elementType: first.elementType }];
  const to = target ?? Array<undefined>(rank).fill(undefined);
  return [{ elementType: first.elementType, shape: broadcast([{ shape: first.shape }, { shape: to }]) }];
};

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...named(asFirst, [
    ...[
      'Identity',
      'Dropout',
      'Relu',
      'Sigmoid',
      'Tanh',
      'Gelu',
      'Erf',
      'Exp',
      'Log',
      'Neg',
      'Abs',
      'Sqrt',
      'Sin',
      'Cos',
    ],
    ...['Reciprocal', 'Clip', 'Floor', 'Ceil', 'Round', 'Sign', 'Softmax', 'LogSoftmax', 'Softplus', 'HardSigmoid'],
    ...[
      'HardSwish',
      'LeakyRelu',
      'Elu',
      'Celu',
      'Selu',
      'Swish',
      'Mish',
      'CumSum',
      'Trilu',
      'ScatterND',
      'ScatterElements',
    ],
    ...['LayerNormalization', 'RMSNormalization', 'InstanceNormalization', 'GroupNormalization', 'BatchNormalization'],
    ...[
      'SimplifiedLayerNormalization',
      'SkipLayerNormalization',
      'SkipSimplifiedLayerNormalization',
      'QuickGelu',
      'FastGelu',
    ],
    ...['BiasGelu', 'BitShift', 'Not', 'Attention', 'RotaryEmbedding', 'GroupQueryAttention'],
  ]),
  ...named(elementwise, ['Add', 'Sub', 'Mul', 'Div', 'Min', 'Max', 'Mod', 'PRelu', 'Sum', 'Mean']),
  ...named(comparison, ['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'And', 'Or', 'Xor']),
  ...named(sameRank, [
    'Slice',
    'Split',
    'Pad',
    'Tile',
    'Conv',
    'ConvTranspose',
    'MaxPool',
    'AveragePool',
    'Resize',
    'TopK',
  ]),
  ...named(reduce, [
    'ReduceL1',
    'ReduceL2',
    'ReduceMean',
    'ReduceSum',
    'ReduceMax',
    'ReduceMin',
    'ReduceProd',
    'ReduceSumSquare',
  ]),
  ['MatMul', matMul],
  ['Gemm', gemm],
  ['Cast', cast],
  ['DequantizeLinear', dequantizeLinear],
  ['MatMulNBits', matMulNBits],
  ['Transpose', transpose],
  ['Reshape', reshape],
  ['Unsqueeze', unsqueeze],
  ['Squeeze', squeeze],
  ['Gather', gather],
  ['Concat', concat],
  ['ConstantOfShape', filled],
  ['Expand', expand],
  ['Where', where],
  ['Pow', pow],
  ['EyeLike', eyeLike],
  ['Shape', (_, [first = {}]) => [{ elementType: DataType.INT64, shape: [first.shape?.length] }]],
  ['Flatten', flatten],
  ['Range', range],
]);

function named(rule: Rule, opTypes: readonly string[]): (readonly [string, Rule])[] {
  return opTypes.map((opType) => [opType, rule]);
}

function broadcast(values: readonly ValueType[]): Shape | undefined {
  const shapes = values.map(({ shape }) => shape);
  if (shapes.some((shape) => shape === undefined)) return undefined;
  const rank = Math.max(0, ...shapes.map((shape) => shape!.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => (axis < rank - shape!.length ? 1 : shape![axis - rank + shape!.length]));
    return (
      sizes.find((size) => size !== undefined && size !== 1) ?? (sizes.every((size) => size === 1) ? 1 : undefined)
    );
  });
}

function product(sizes: Shape | undefined): number | undefined {
  return sizes?.reduce<number | undefined>(
    (total, size) => (total === undefined || size === undefined || size < 0 ? undefined : total * size),
    1,
  );
}
