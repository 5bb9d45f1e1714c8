/** Server-sent events: one `data:` line each, no faster than the client reads. */
import type { Response } from 'express';
import { HttpError } from '../errors.js';

export interface EventStreamOptions {
  /** Ends the waiting for a client that does not read. */
  readonly signal: AbortSignal;
  /** How long a client may leave what was sent unread, in ms. */
  readonly sendTimeoutMs: number;
}

export class EventStream {
  readonly #res: Response;
  readonly #options: EventStreamOptions;

  /** Sends the headers. */
  constructor(res: Response, options: EventStreamOptions) {
    this.#res = res;
    this.#options = options;
    res.status(200).set({ 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' });
    res.flushHeaders();
  }

  /** @throws the signal's reason; HttpError 499 where the client does not read */
  async send(data: unknown): Promise<void> {
    this.#options.signal.throwIfAborted();
    if (!this.#write(JSON.stringify(data))) await this.#drained();
  }

  /** The marker after which OpenAI's clients stop reading. */
  end(): void {
    this.#finish('[DONE]');
  }

  /** For failures after the status was sent: clients throw on an event that has `error`. */
  fail(body: unknown): void {
    if (!this.#res.destroyed) this.#finish(JSON.stringify(body));
  }

  #finish(data: string): void {
    this.#res.setTimeout(this.#options.sendTimeoutMs, () => this.#res.destroy());
    this.#write(data);
    this.#res.end();
  }

  #write(data: string): boolean {
    return this.#res.write(`data: ${data}\n\n`);
  }

  async #drained(): Promise<void> {
    const { signal, sendTimeoutMs } = this.#options;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: unknown) => {
        clearTimeout(timer);
        this.#res.off('drain', onDrain);
        signal.removeEventListener('abort', onAbort);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onDrain = () => settle();
      const onAbort = () => settle(signal.reason);
      const timer = setTimeout(() => {
        this.#res.destroy();
        settle(new HttpError(499, 'the client does not read its answer'));
      }, sendTimeoutMs);
      this.#res.once('drain', onDrain);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
