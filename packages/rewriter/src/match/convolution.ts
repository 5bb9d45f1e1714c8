import { intAttribute, intsAttribute, type NodeProto, stringAttribute } from '@ort-dora/onnx';
import type { LinearLayer, LowRankPath } from './linear-layer.js';
import { type MatchResult, matched, mismatch } from './result.js';
import { constantScalar } from './scalar.js';
import type { MatchScope } from './scope.js';
import { isStandard, type MatrixTrace, plain, unwiden } from './trace.js';

/** A convolution `Conv(x, W) + bias`. */
export interface Convolution {
  readonly node: NodeProto;
  readonly output: string;
  readonly x: string;
  /** W `[out, in/groups, kernel…]`. */
  readonly weight: string;
  /** Undefined where there is none, or one that the graph fills with zeros. */
  readonly bias: string | undefined;
}

/** Matches a convolution with a weight of three to five axes. */
export function matchConvolution(scope: MatchScope, value: string): MatchResult<Convolution> {
  const output = plain(scope, value);
  const node = scope.producer(output);
  if (node === undefined || !isStandard(node, 'Conv')) {
    return mismatch(`"${output}" is not the result of a convolution`, node);
  }
  const [x = '', weight = '', bias = ''] = node.input;
  const rank = scope.shape(weight)?.length;
  if (rank === undefined || rank < 3 || rank > 5) {
    return mismatch(`the weight "${weight}" is not known to have one to three kernel axes`, node, 1);
  }
  const hasBias = bias !== '' && !isFilledWithZeros(scope, bias);
  return matched({ node, output, x, weight, bias: hasBias ? bias : undefined });
}

/** As the base layer of a module: W is taken for a matrix `[out, in/groups · kernel]`. */
export function matchConvolutionLayer(scope: MatchScope, value: string): MatchResult<LinearLayer> {
  const convolution = matchConvolution(scope, value);
  if (!convolution.matched) return convolution;
  const { node, output, x, weight, bias } = convolution.value;
  return matched({
    output,
    x,
    weight: storedMatrix(scope, weight),
    bias,
    form: bias === undefined ? 'Conv' : 'Conv+bias',
    nodes: [node],
  });
}

/** Matches `Conv(Conv(x, A), B)`. */
export function matchConvolutionAdapter(scope: MatchScope, value: string): MatchResult<LowRankPath> {
  const up = matchConvolution(scope, value);
  if (!up.matched) return up;
  const down = matchConvolution(scope, up.value.x);
  if (!down.matched) return { ...down, depth: down.depth + 1 };
  for (const { bias, node } of [up.value, down.value]) {
    if (bias !== undefined) return mismatch('the adapter path adds a bias', node, 1);
  }
  return matched({
    output: up.value.output,
    x: down.value.x,
    loraA: storedMatrix(scope, down.value.weight),
    loraB: storedMatrix(scope, up.value.weight),
    nodes: [down.value.node, up.value.node],
  });
}

/** Where and how far a kernel moves. */
export interface Geometry {
  /** Undefined where a size is not known. */
  readonly kernel: readonly (number | undefined)[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Explicit padding, or the name of an automatic one. */
  readonly padding: string;
  readonly groups: number;
}

/** A convolution's geometry, its defaults filled in. */
export function geometryOf(scope: MatchScope, node: NodeProto): Geometry {
  const kernel = scope.shape(node.input[1] ?? '')?.slice(2) ?? [];
  const each = (name: string) => intsAttribute(node, name) ?? kernel.map(() => 1);
  const automatic = stringAttribute(node, 'auto_pad', 'NOTSET');
  const pads = intsAttribute(node, 'pads') ?? kernel.flatMap(() => [0, 0]);
  return {
    kernel,
    strides: each('strides'),
    dilations: each('dilations'),
    padding: automatic === undefined || automatic === 'NOTSET' ? pads.join() : automatic,
    groups: intAttribute(node, 'group') ?? 1,
  };
}

/** A weight as a matrix with a row an output channel. */
export function storedMatrix(scope: MatchScope, weight: string): MatrixTrace {
  return { value: plain(scope, weight), transposed: false, source: unwiden(scope, weight), sourceTransposed: false };
}

/** Steps from a bias back to the number that fills it at most. */
const LONGEST_FILL = 6;

/** Whether a value is made of nothing but zeros: what unoptimised dynamo exports give a convolution without a bias. */
function isFilledWithZeros(scope: MatchScope, value: string): boolean {
  let current = value;
  for (let step = 0; step < LONGEST_FILL; step++) {
    if (constantScalar(scope, current) === 0) return true;
    const node = scope.producer(plain(scope, current));
    if (node === undefined || !['Expand', 'CastLike', 'Cast'].some((opType) => isStandard(node, opType))) return false;
    current = node.input[0] ?? '';
  }
  return false;
}
