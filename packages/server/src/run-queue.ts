/** Who may run a model now: a bounded number at once, a bounded number waiting in order, everyone else told to come back. */
import { HttpError } from './errors.js';

export interface RunQueueOptions {
  readonly maxConcurrentRuns: number;
  readonly maxQueuedRuns: number;
}

/**
 * A request takes a ticket before its body is read, so that the memory of waiting requests is bounded too.
 * `release` must be called when the request is over, whatever its outcome; until then it counts against the bounds.
 */
export interface RunTicket {
  /** Aborted when the client goes away, its time is up, or the server stops waiting for it. */
  readonly signal: AbortSignal;
  abort(reason: Error): void;
  /** Resolves when the run may start; rejects with the reason of an abort. Returns the seconds waited. */
  turn(): Promise<number>;
  /** The run is over and the next may start; the request itself goes on until `release`. */
  endRun(): void;
  release(): void;
}

export class RunQueue {
  readonly #options: RunQueueOptions;
  readonly #tickets = new Set<Ticket>();
  readonly #waiting: Ticket[] = [];
  #running = 0;
  #ended = 0;
  #closed = false;
  #onIdle: (() => void)[] = [];

  constructor(options: RunQueueOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  /** Requests being received or waiting for their turn. */
  get waiting(): number {
    return this.#tickets.size - this.#running - this.#ended;
  }

  /** Throws HttpError 503 when closed and 429 when full. */
  admit(): RunTicket {
    if (this.#closed) {
      throw new HttpError(503, 'the server is shutting down and takes no new work', { Connection: 'close' });
    }
    const { maxConcurrentRuns, maxQueuedRuns } = this.#options;
    if (this.#tickets.size >= maxConcurrentRuns + maxQueuedRuns) {
      throw new HttpError(
        429,
        `the queue is full (${this.#running} running, ${this.waiting} waiting); try again later`,
        {
          'Retry-After': '1',
        },
      );
    }
    const ticket = new Ticket(this);
    this.#tickets.add(ticket);
    return ticket;
  }

  /** From now on nothing is admitted; what was admitted goes on. */
  close(): void {
    this.#closed = true;
  }

  /** Resolves when no admitted request is left. */
  async idle(): Promise<void> {
    if (this.#tickets.size === 0) return;
    await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  abortAll(reason: Error): void {
    for (const ticket of this.#tickets) ticket.abort(reason);
  }

  /** @internal */
  enqueue(ticket: Ticket): void {
    this.#waiting.push(ticket);
    this.#startNext();
  }

  /** @internal */
  ended(): void {
    this.#running -= 1;
    this.#ended += 1;
    this.#startNext();
  }

  /** @internal */
  leave(ticket: Ticket, hasEnded: boolean): void {
    this.#tickets.delete(ticket);
    const index = this.#waiting.indexOf(ticket);
    if (index >= 0) this.#waiting.splice(index, 1);
    if (hasEnded) this.#ended -= 1;
    if (this.#tickets.size === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }

  #startNext(): void {
    while (this.#running < this.#options.maxConcurrentRuns) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      this.#running += 1;
      next.start();
    }
  }
}

class Ticket implements RunTicket {
  readonly #queue: RunQueue;
  readonly #controller = new AbortController();
  #start: (() => void) | undefined;
  #phase: 'admitted' | 'running' | 'ended' | 'released' = 'admitted';

  constructor(queue: RunQueue) {
    this.#queue = queue;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  async turn(): Promise<number> {
    this.signal.throwIfAborted();
    const since = performance.now();
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => reject(this.signal.reason);
      this.signal.addEventListener('abort', onAbort, { once: true });
      this.#start = () => {
        this.signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#queue.enqueue(this);
    });
    return (performance.now() - since) / 1000;
  }

  start(): void {
    this.#phase = 'running';
    this.#start?.();
  }

  endRun(): void {
    if (this.#phase !== 'running') return;
    this.#phase = 'ended';
    this.#queue.ended();
  }

  release(): void {
    if (this.#phase === 'released') return;
    this.endRun();
    const hasEnded = this.#phase === 'ended';
    this.#phase = 'released';
    this.#queue.leave(this, hasEnded);
  }
}
