import type { NodeProto } from '@ort-dora/onnx';

/** Outcome of matching: a value, or the reason why not. Never an exception. */
export type MatchResult<T> = Matched<T> | Mismatch;

export interface Matched<T> {
  readonly matched: true;
  readonly value: T;
}

export interface Mismatch {
  readonly matched: false;
  /** One clause for people, without a final stop: what was expected and what is there. */
  readonly reason: string;
  /** The first node that did not fit, where it is a node. */
  readonly culprit: NodeProto | undefined;
  /**
   * How far the match came, to choose what to tell where several attempts failed: the attempt that came furthest is the
   * one that the graph most resembles.
   */
  readonly depth: number;
}

export function matched<T>(value: T): Matched<T> {
  return { matched: true, value };
}

export function mismatch(reason: string, culprit?: NodeProto, depth = 0): Mismatch {
  return { matched: false, reason, culprit, depth };
}

/** The mismatch as seen from a caller that had matched `depth` steps before. */
export function deeper(failure: Mismatch, depth: number): Mismatch {
  return { ...failure, depth: failure.depth + depth };
}

/** The first success, or the failure that came furthest (the earlier one of equals). */
export function firstMatch<T>(attempts: Iterable<() => MatchResult<T>>): MatchResult<T> {
  let best: Mismatch | undefined;
  for (const attempt of attempts) {
    const result = attempt();
    if (result.matched) return result;
    if (best === undefined || result.depth > best.depth) best = result;
  }
  return best ?? mismatch('there is nothing to match');
}

/** Tries the two operands of a commutative operator in both orders. */
export function eitherOrder<T>(
  node: NodeProto,
  attempt: (first: string, second: string) => MatchResult<T>,
): MatchResult<T> {
  const [first = '', second = ''] = node.input;
  return firstMatch([() => attempt(first, second), () => attempt(second, first)]);
}
