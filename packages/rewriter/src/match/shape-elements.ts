/** Shapes that a graph computes, element by element, where sizes are not known before a run. */
import { intAttribute } from '@ort-dora/onnx';
import type { MatchScope } from './scope.js';
import { isStandard } from './trace.js';

/** One element of a shape: a number, or the size of an axis of some value. */
export type ShapeElement =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'size'; readonly of: string; readonly axis: number };

/** Nodes that are followed from one element at most. */
const DEEPEST = 16;
/** Elements of a shape at most. */
const LONGEST = 64;

/**
 * The elements of an integer vector (or scalar, as one element) as exporters compute shapes: from constants, Shape,
 * Gather, Slice, Concat and what only adds or drops axes. Undefined where anything else takes part.
 */
export function shapeElements(scope: MatchScope, value: string): readonly ShapeElement[] | undefined {
  return elementsOf(scope, value, new Map(), 0);
}

/** Each value is computed once, so that shapes that read themselves over and over cost what their nodes cost. */
function elementsOf(
  scope: MatchScope,
  value: string,
  known: Map<string, readonly ShapeElement[] | undefined>,
  depth: number,
): readonly ShapeElement[] | undefined {
  if (known.has(value)) return known.get(value);
  const elements = computeElements(scope, value, (input) => elementsOf(scope, input, known, depth + 1), depth);
  const kept = elements !== undefined && elements.length <= LONGEST ? elements : undefined;
  known.set(value, kept);
  return kept;
}

function computeElements(
  scope: MatchScope,
  value: string,
  elements: (value: string) => readonly ShapeElement[] | undefined,
  depth: number,
): readonly ShapeElement[] | undefined {
  const numbers = scope.integers(value);
  if (numbers !== undefined) return numbers.map((number) => ({ kind: 'number', value: number }));
  const node = scope.producer(value);
  if (node === undefined || depth >= DEEPEST || !isStandard(node)) return undefined;
  const input = (index: number) => elements(node.input[index] ?? '');
  switch (node.opType) {
    case 'Identity':
    case 'Cast':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Reshape':
      return input(0);
    case 'Shape': {
      const of = node.input[0] ?? '';
      const shape = scope.shape(of);
      if (shape === undefined) return undefined;
      const axes = shape.map(
        (size, axis): ShapeElement =>
          size === undefined ? { kind: 'size', of, axis } : { kind: 'number', value: size },
      );
      return axes.slice(intAttribute(node, 'start') ?? 0, intAttribute(node, 'end') ?? axes.length);
    }
    case 'Gather': {
      const data = input(0);
      const picked = scope.integers(node.input[1] ?? '')?.map((at) => data?.at(at));
      return (intAttribute(node, 'axis') ?? 0) !== 0 || picked?.includes(undefined)
        ? undefined
        : (picked as ShapeElement[] | undefined);
    }
    case 'Slice': {
      const [start, end, axis, step] = [1, 2, 3, 4].map((index) => scope.integers(node.input[index] ?? ''));
      const whole = (axis?.[0] ?? 0) === 0 && (step?.[0] ?? 1) === 1;
      if (start?.length !== 1 || end?.length !== 1 || !whole) return undefined;
      return input(0)?.slice(start[0], end[0]);
    }
    case 'Concat': {
      const parts = node.input.map((_, index) => input(index));
      return parts.includes(undefined) ? undefined : (parts as ShapeElement[][]).flat();
    }
    default:
      return undefined;
  }
}
