import type { NodeProto } from '@ort-dora/onnx';
import { type LinearLayer, matchLinearLayer } from './linear-layer.js';
import { type MatchResult, matched, mismatch } from './result.js';
import type { MatchScope } from './scope.js';
import { shapeElements } from './shape-elements.js';
import { isStandard, plain } from './trace.js';

/**
 * Matches a linear layer over the flattened leading axes of x, `Reshape(Gemm(Reshape(x, [−1, in]), W, b), [..., out])`:
 * transformers' Conv1D (GPT-2), which both exporters write so.
 *
 * Reshape keeps the order of elements and Gemm takes rows of `in`, so the first Reshape can only have flattened x; that
 * the second one gives x's own leading axes back is proved from the shape it computes.
 */
export function matchFlattenedLayer(scope: MatchScope, value: string): MatchResult<LinearLayer> {
  const output = plain(scope, value);
  const last = scope.producer(output);
  const unflatten = last !== undefined && isStandard(last, 'Reshape') ? last : undefined;
  const inner = matchLinearLayer(scope, unflatten?.input[0] ?? output);
  if (!inner.matched) return inner;
  const layer = inner.value;
  if (layer.form !== 'Gemm' && layer.form !== 'Gemm+bias') {
    return mismatch('the reshaped layer is no Gemm', layer.nodes[0]);
  }
  const flatten = scope.producer(plain(scope, layer.x));
  if (flatten === undefined || !isStandard(flatten, 'Reshape')) {
    return mismatch('the input of the Gemm is not flattened', layer.nodes[0], unflatten === undefined ? 0 : 1);
  }
  const x = flatten.input[0] ?? '';
  const sizes = scope.shape(x);
  const weight = scope.shape(layer.weight.value);
  // The weight is traced as [out, in]: stored so, or transposed.
  const [outFeatures, inFeatures] = (layer.weight.transposed ? weight?.toReversed() : weight) ?? [];
  if (sizes === undefined || sizes.length < 2 || sizes.at(-1) === undefined || sizes.at(-1) !== inFeatures) {
    return mismatch(`the shape of "${x}" is not known to be [..., ${inFeatures ?? '?'}]`, flatten, 1);
  }
  // Where x is a matrix, the exporter may have seen that flattening it changes nothing.
  const givenBack = unflatten === undefined ? sizes.length === 2 : givesBack(scope, unflatten, x, sizes, outFeatures);
  if (!givenBack) {
    return mismatch(`the result is not proved to be reshaped to the leading axes of "${x}"`, unflatten, 2);
  }
  return matched({
    output,
    x,
    weight: layer.weight,
    bias: layer.bias,
    form: layer.bias === undefined ? 'Reshape+Gemm' : 'Reshape+Gemm+bias',
    nodes: [flatten, ...layer.nodes, ...(unflatten === undefined ? [] : [unflatten])],
  });
}

/** Whether a Reshape's target is the shape of x with `last` as its last size. */
function givesBack(
  scope: MatchScope,
  node: NodeProto,
  x: string,
  sizes: readonly (number | undefined)[],
  last: number | undefined,
): boolean {
  const target = shapeElements(scope, node.input[1] ?? '');
  if (target?.length !== sizes.length) return false;
  return target.every((element, axis) => {
    const expected = axis === sizes.length - 1 ? last : sizes[axis];
    if (element.kind === 'size') return element.axis === axis && plain(scope, element.of) === plain(scope, x);
    return element.value === expected;
  });
}
