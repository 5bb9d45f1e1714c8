/** How fast work on many bytes goes, and how long it still takes. */

import { bytes } from './table.js';

export class Pace {
  readonly #begun: number;

  /** The work begins now. */
  constructor(private readonly now: () => number = () => performance.now()) {
    this.#begun = now();
  }

  /** `1.25 GB/s, 3 min left`: by all that was done so far; undefined while that is nothing. */
  describe(done: number, total: number): string | undefined {
    const seconds = (this.now() - this.#begun) / 1000;
    if (done === 0 || seconds === 0) return undefined;
    const rate = done / seconds;
    return `${bytes(rate)}/s, ${duration((total - done) / rate)} left`;
  }
}

/** 40 s, 3 min, 2 h 5 min. */
function duration(seconds: number): string {
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
