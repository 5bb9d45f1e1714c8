// Answers against those of PyTorch's generate, on a tiny SmolVLM with random weights (test/fixtures/record.py).
import { afterAll, describe, expect, it } from 'vitest';
import { type EndEvent, openVariants } from '../src/index.js';
import { conversation, type GenerationCase, recorded, TINY } from './recorded.js';

const cases = recorded<GenerationCase[]>('generate.json');
const LENGTH = 24;

const variants = await openVariants([
  { name: 'base', folder: TINY },
  { name: 'adapter', folder: TINY, graphs: { decoder: 'decoder_model_merged_adapter' } },
  { name: 'fp16', folder: TINY, graphs: { decoder: 'decoder_model_merged_fp16' } },
]);
const base = variants.models.get('base')!;
afterAll(() => variants.dispose());

describe.each(['base', 'adapter'] as const)('%s', (name) => {
  const model = variants.models.get(name)!;

  it.each(cases.map((entry, i) => ({ ...entry, i })))('answers conversation $i as PyTorch does', async (entry) => {
    const { tokens } = await model.generate(conversation(entry.messages), { maxTokens: LENGTH });
    expect(tokens).toEqual(entry[name].tokens);
  });

  it('answers a padded batch as single runs do', async () => {
    const batch = cases.slice(0, 9);
    const answers = await model.generateBatch(
      batch.map(({ messages }) => ({ messages: conversation(messages), maxTokens: LENGTH })),
    );
    expect(answers.map(({ tokens }) => tokens)).toEqual(batch.map((entry) => entry[name].tokens));
  });
});

it('loads the vision encoder and the embeddings once for all variants', () => {
  expect(variants.sessions).toBe(5);
});

it('keeps a float16 cache', async () => {
  const { usage } = await variants.models
    .get('fp16')!
    .generate(conversation(cases[0]!.messages), { maxTokens: LENGTH });
  expect(usage.completionTokens).toBe(LENGTH);
});

describe('text', () => {
  it.each(cases.map((entry, i) => ({ ...entry, i })))(
    '$i: streamed pieces add up to what transformers decodes',
    async (entry) => {
      const pieces: string[] = [];
      let end: EndEvent | undefined;
      for await (const event of base.stream(conversation(entry.messages), { maxTokens: LENGTH })) {
        if (event.type === 'text') pieces.push(event.text);
        else end = event;
      }
      expect(pieces.join('')).toBe(entry.text);
      expect(pieces.length).toBeGreaterThan(1);
      expect(end?.usage.completionTokens).toBe(entry.base.tokens.length);
      expect(end?.finishReason).toBe(entry.base.tokens.length < LENGTH ? 'stop' : 'length');
    },
  );

  it('ends before a stop string, of which no part came out', async () => {
    const [{ messages, text }] = cases as [GenerationCase];
    const stop = text.slice(9, 14);
    const pieces: string[] = [];
    for await (const event of base.stream(conversation(messages), { maxTokens: LENGTH, stop: ['never', stop] })) {
      if (event.type === 'text') pieces.push(event.text);
      else expect(event.finishReason).toBe('stop');
    }
    expect(pieces.join('')).toBe(text.slice(0, text.indexOf(stop)));
  });
});
