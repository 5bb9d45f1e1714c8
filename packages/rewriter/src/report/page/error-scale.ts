/** The logarithmic scale that errors are drawn on. */

export interface ErrorScale {
  /** 0 at the smallest, 1 at the largest error shown. */
  position(error: number): number;
  /** Whole powers of ten within the scale. */
  readonly decades: readonly number[];
}

const least = 1.6;

/** A little more than the errors given, and no less than 1.6 decades; 0 and non-finite errors stand at the ends. */
export function errorScale(errors: readonly number[]): ErrorScale {
  const logs = errors.filter((error) => error > 0 && Number.isFinite(error)).map(Math.log10);
  const smallest = logs.length > 0 ? Math.min(...logs) : -7;
  const largest = logs.length > 0 ? Math.max(...logs) : -6;
  const margin = Math.max(0.25, (least - (largest - smallest)) / 2);
  const low = smallest - margin;
  const high = largest + margin;
  const first = Math.ceil(low);
  return {
    position(error) {
      if (!(error > 0)) return Number.isNaN(error) ? 1 : 0;
      return Math.min(1, Math.max(0, (Math.log10(error) - low) / (high - low)));
    },
    decades: Array.from({ length: Math.floor(high) - first + 1 }, (_, i) => first + i),
  };
}
