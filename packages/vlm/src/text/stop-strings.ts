// Text on its way out, held back for as long as it may still turn out to be a stop string.

/** What may go out, and whether a stop string was found: then that is all, and the stop string is not part of it. */
export interface Released {
  readonly text: string;
  readonly stopped: boolean;
}

export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';

  /** @param stops not empty strings */
  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  push(text: string): Released {
    const all = this.#held + text;
    const found = this.#stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#held = '';
      return { text: all.slice(0, Math.min(...found)), stopped: true };
    }
    const kept = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(all.length - kept);
    return { text: all.slice(0, all.length - kept), stopped: false };
  }

  /** The rest, when no more text will come. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    return rest;
  }
}

/** The length of the longest end of `text` that begins `stop` without being all of it. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
