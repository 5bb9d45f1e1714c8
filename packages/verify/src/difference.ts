/** How far one tensor is from another. */

/** The difference of actual tensors from reference tensors, over the elements that are finite in both. All figures are finite. */
export interface Difference {
  readonly elements: number;
  readonly maxAbs: number;
  /** Largest |difference| over the largest |reference| of the same tensor: the worst of all tensors compared. */
  readonly relative: number;
  /** The lowest of all tensors compared; 1 for tensors that are both all zeros, 0 if only one is. */
  readonly cosine: number;
  /** Elements that are NaN or infinite in one but not, or not in the same way, in the other. */
  readonly nonFiniteMismatches: number;
}

export const noDifference: Difference = { elements: 0, maxAbs: 0, relative: 0, cosine: 1, nonFiniteMismatches: 0 };

/** @throws RangeError if the lengths differ */
export function difference(actual: ArrayLike<number>, reference: ArrayLike<number>): Difference {
  if (actual.length !== reference.length) {
    throw new RangeError(`${actual.length} elements cannot be compared with ${reference.length}`);
  }
  let maxAbs = 0;
  let scale = 0;
  let nonFiniteMismatches = 0;
  let dot = 0;
  let actualSquares = 0;
  let referenceSquares = 0;
  for (let i = 0; i < actual.length; i++) {
    const a = actual[i]!;
    const r = reference[i]!;
    if (!Number.isFinite(a) || !Number.isFinite(r)) {
      if (!Object.is(a, r)) nonFiniteMismatches++;
      continue;
    }
    maxAbs = Math.max(maxAbs, Math.abs(a - r));
    scale = Math.max(scale, Math.abs(r));
    dot += a * r;
    actualSquares += a * a;
    referenceSquares += r * r;
  }
  const norms = Math.sqrt(actualSquares) * Math.sqrt(referenceSquares);
  const bothZero = actualSquares === 0 && referenceSquares === 0;
  return {
    elements: actual.length,
    maxAbs: Math.min(maxAbs, Number.MAX_VALUE),
    relative: maxAbs === 0 ? 0 : Math.min(maxAbs / scale, Number.MAX_VALUE),
    cosine: norms > 0 ? Math.max(-1, Math.min(1, dot / norms)) : bothZero ? 1 : 0,
    nonFiniteMismatches,
  };
}

/** The worst of both. */
export const worse = (a: Difference, b: Difference): Difference => ({
  elements: a.elements + b.elements,
  maxAbs: Math.max(a.maxAbs, b.maxAbs),
  relative: Math.max(a.relative, b.relative),
  cosine: Math.min(a.cosine, b.cosine),
  nonFiniteMismatches: a.nonFiniteMismatches + b.nonFiniteMismatches,
});
