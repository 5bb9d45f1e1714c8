// Prefill and decode: prompts in, events out, for one answer or a batch of them.
import type { TensorData } from '@ort-dora/runtime';
import type { GenerationEvent, Timings } from './answer.js';
import { AnswerRow } from './answer-row.js';
import type { Engine } from './engine.js';
import type { GenerationSettings } from './generation-options.js';
import type { PreparedPrompt } from './prepare-prompt.js';

export interface PreparedRequest {
  readonly prompt: PreparedPrompt;
  readonly settings: GenerationSettings;
}

export interface RowEvent {
  readonly row: number;
  readonly event: GenerationEvent;
}

/**
 * Runs all requests as one batch, until every answer has its end event. The cache is freed when the generator ends in any way.
 * @throws the signal's reason; RuntimeError; VlmError MODEL_FAILED
 */
export async function* generate(
  engine: Engine,
  requests: readonly PreparedRequest[],
  signal?: AbortSignal,
): AsyncGenerator<RowEvent, void> {
  signal?.throwIfAborted();
  const start = performance.now();
  const rows = requests.map(({ prompt, settings }) => new AnswerRow(engine, prompt, settings));
  const lengths = requests.map(({ prompt }) => prompt.ids.length);
  const embeddings = await embedPrompts(engine, requests, signal);
  const run = await engine.decoder.prefill(embeddings, lengths, signal);
  const prefilled = performance.now();
  const timings = (): Timings => ({
    prepare: sum(requests, ({ prompt }) => prompt.timings.prepare),
    vision: sum(requests, ({ prompt }) => prompt.timings.vision),
    prefill: prefilled - start,
    decode: performance.now() - prefilled,
  });
  try {
    for (;;) {
      for (const [row, answer] of rows.entries()) {
        if (answer.finished) continue;
        for (const event of answer.push(run.logits(row), timings())) yield { row, event };
      }
      if (rows.every(({ finished }) => finished)) return;
      signal?.throwIfAborted();
      const next = engine.embeddings.ofTokens(rows.map(({ lastToken }) => lastToken));
      try {
        await run.step(next, signal);
      } finally {
        next.dispose();
      }
    }
  } finally {
    run.dispose();
  }
}

/** float32 [batch, longest, hidden], padded on the left, image tokens replaced by their features. */
async function embedPrompts(
  engine: Engine,
  requests: readonly PreparedRequest[],
  signal: AbortSignal | undefined,
): Promise<TensorData<'float32'>> {
  const { hiddenSize, imageTokenId, padId } = engine.settings;
  const longest = Math.max(...requests.map(({ prompt }) => prompt.ids.length));
  const padded = requests.flatMap(({ prompt }) => [
    ...Array<number>(longest - prompt.ids.length).fill(padId),
    ...prompt.ids,
  ]);
  const embeddings = await engine.embeddings.ofPrompts(padded, requests.length, signal);
  requests.forEach(({ prompt }, row) => {
    const features = featureRows(prompt.features, hiddenSize);
    const start = (row + 1) * longest - prompt.ids.length;
    prompt.ids.forEach((id, i) => {
      if (id === imageTokenId) embeddings.data.set(features.next().value!, (start + i) * hiddenSize);
    });
  });
  return embeddings;
}

function* featureRows(pictures: readonly Float32Array[], hidden: number): Generator<Float32Array, undefined> {
  for (const features of pictures) {
    for (let at = 0; at < features.length; at += hidden) yield features.subarray(at, at + hidden);
  }
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
