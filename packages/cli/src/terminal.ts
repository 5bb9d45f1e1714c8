/** Where a command writes: results on stdout, progress on stderr (a bar on a terminal, plain lines elsewhere). */

import { singleLine } from './errors.js';

/** A stream that text is written to. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** The surroundings of one run of the program. */
export interface Surroundings {
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Aborted by Ctrl-C or SIGTERM: commands stop and clean up. */
  readonly signal: AbortSignal;
}

/** Colours and bars are for people: a terminal that has not asked for none (https://no-color.org). */
export const isFancy = (sink: Sink) => sink.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

export type Style = keyof typeof codes;

/** Paints text for a sink, or leaves it as it is. */
export function painter(sink: Sink): (style: Style, text: string) => string {
  if (!isFancy(sink)) return (_, text) => text;
  return (style, text) => `\u001b[${codes[style]}m${text}\u001b[0m`;
}

/** Progress of one piece of work. */
export interface Progress {
  /**
   * What is being done now, how far it is (0 to 1), which part of it is in hand and how fast it goes, where that is known.
   * The part is shown on a terminal only, in a log it would be a line for each; the pace there every ten seconds.
   */
  update(what: string, fraction?: number, part?: string, pace?: string): void;
  /** Takes the bar away, so that what is written next stands on a line of its own. */
  end(): void;
}

const barWidth = 24;

const paceMilliseconds = 10_000;

/** A bar that is redrawn in place on a terminal; elsewhere one line for each new thing that is being done, and its pace. */
export function startProgress(sink: Sink, now: () => number = () => performance.now()): Progress {
  if (!isFancy(sink)) {
    let last = '';
    let written = 0;
    return {
      update(what, fraction, _, pace) {
        const isNew = what !== last;
        if (!isNew && (pace === undefined || now() - written < paceMilliseconds)) return;
        const percent = fraction === undefined ? '' : `${Math.floor(100 * fraction)} %, `;
        sink.write(`${singleLine(isNew || pace === undefined ? what : `${what}: ${percent}${pace}`)}\n`);
        last = what;
        written = now();
      },
      end() {},
    };
  }
  let drawn = false;
  return {
    update(what, fraction, part, pace) {
      const filled = Math.round(Math.min(1, Math.max(0, fraction ?? 0)) * barWidth);
      const bar = fraction === undefined ? '' : `${'━'.repeat(filled)}${'─'.repeat(barWidth - filled)} `;
      const room = Math.max(20, (sink.columns ?? 80) - bar.length - 1);
      sink.write(`\r\u001b[2K${bar}${singleLine([what, pace, part].filter(Boolean).join(' ')).slice(0, room)}`);
      drawn = true;
    },
    end() {
      if (drawn) sink.write('\r\u001b[2K');
      drawn = false;
    },
  };
}
