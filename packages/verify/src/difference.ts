/** How far one tensor is from another. */

/** The difference of an actual tensor from a reference, over the elements that are finite in both. */
export interface Difference {
  readonly elements: number;
  readonly maxAbs: number;
  /** max |reference|, the scale that maxAbs is relative to. */
  readonly scale: number;
  /** maxAbs / scale; 0 if both are 0. */
  readonly relative: number;
  /** 1 if both are all zeros, 0 if only one is. */
  readonly cosine: number;
  /** Elements that are NaN or infinite in one but not, or not in the same way, in the other. */
  readonly nonFiniteMismatches: number;
}

/** A difference collected over several tensors, as if they were one. */
export class DifferenceSum {
  #elements = 0;
  #maxAbs = 0;
  #scale = 0;
  #dot = 0;
  #actualSquares = 0;
  #referenceSquares = 0;
  #mismatches = 0;

  /** @throws RangeError if the lengths differ */
  add(actual: ArrayLike<number>, reference: ArrayLike<number>): void {
    if (actual.length !== reference.length) {
      throw new RangeError(`${actual.length} elements cannot be compared with ${reference.length}`);
    }
    this.#elements += actual.length;
    for (let i = 0; i < actual.length; i++) {
      const a = actual[i]!;
      const r = reference[i]!;
      if (!Number.isFinite(a) || !Number.isFinite(r)) {
        if (!Object.is(a, r)) this.#mismatches++;
        continue;
      }
      this.#maxAbs = Math.max(this.#maxAbs, Math.abs(a - r));
      this.#scale = Math.max(this.#scale, Math.abs(r));
      this.#dot += a * r;
      this.#actualSquares += a * a;
      this.#referenceSquares += r * r;
    }
  }

  result(): Difference {
    const norms = Math.sqrt(this.#actualSquares) * Math.sqrt(this.#referenceSquares);
    const bothZero = this.#actualSquares === 0 && this.#referenceSquares === 0;
    return {
      elements: this.#elements,
      maxAbs: this.#maxAbs,
      scale: this.#scale,
      relative: this.#maxAbs === 0 ? 0 : this.#maxAbs / this.#scale,
      cosine: norms > 0 ? Math.min(1, this.#dot / norms) : bothZero ? 1 : 0,
      nonFiniteMismatches: this.#mismatches,
    };
  }
}
