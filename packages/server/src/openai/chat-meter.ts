/** What one chat adds to the metrics. */
import type { EndEvent, GenerationEvent } from '@ort-dora/vlm';
import type { Metrics } from '../metrics.js';

export class ChatMeter {
  readonly #metrics: Metrics;
  readonly #model: string;
  readonly #received: number;
  #endRun: (() => void) | undefined;
  #over = false;

  /** @param received when the request came, as performance.now() gives it */
  constructor(metrics: Metrics, model: string, received: number) {
    this.#metrics = metrics;
    this.#model = model;
    this.#received = received;
  }

  /** @param queueSeconds how long it waited for its turn */
  started(queueSeconds: number): void {
    const { queueSeconds: histogram, inferenceSeconds } = this.#metrics;
    histogram.observe({ model: this.#model }, queueSeconds);
    this.#endRun = inferenceSeconds.startTimer({ model: this.#model });
  }

  /** Passes the events on as they come. */
  async *measure(events: AsyncIterable<GenerationEvent>): AsyncGenerator<GenerationEvent, void> {
    let first = true;
    for await (const event of events) {
      if (first) this.#observeFirst();
      first = false;
      if (event.type === 'end') this.#finished(event);
      yield event;
    }
  }

  /** @param cancelled because the client went away or the server shuts down */
  failed(cancelled: boolean): void {
    this.#end(cancelled ? 'cancelled' : 'error');
  }

  #observeFirst(): void {
    const seconds = (performance.now() - this.#received) / 1000;
    this.#metrics.firstTokenSeconds.observe({ model: this.#model }, seconds);
  }

  #finished({ usage, timings, finishReason }: EndEvent): void {
    const { promptTokens, answerTokens, tokenSeconds } = this.#metrics;
    const labels = { model: this.#model };
    promptTokens.inc(labels, usage.promptTokens);
    answerTokens.inc(labels, usage.completionTokens);
    if (usage.completionTokens > 1) {
      tokenSeconds.observe(labels, timings.decode / 1000 / (usage.completionTokens - 1));
    }
    this.#end(finishReason);
  }

  #end(outcome: EndEvent['finishReason'] | 'cancelled' | 'error'): void {
    if (this.#over) return;
    this.#over = true;
    this.#endRun?.();
    this.#metrics.chats.inc({ model: this.#model, outcome });
  }
}
