// What a server relies on: aborts, early exits, concurrency, limits, seeds, log-probabilities, batches of different requests.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type GenerationEvent, openVariants, openVlm, type Vlm } from '../src/index.js';
import { conversation, type GenerationCase, picture, recorded, TINY } from './recorded.js';

const cases = recorded<GenerationCase[]>('generate.json');
const messages = conversation(cases[0]!.messages);
const greedy = cases[0]!.base.tokens;
const image = { type: 'image', image: picture(32, 32, 'noise') } as const;
let model: Vlm;

beforeAll(async () => {
  model = await openVlm(TINY);
});
afterAll(() => model.dispose());

function refused(code: string, message: string) {
  return expect.objectContaining({ code, message: expect.stringContaining(message) });
}

describe('abort', () => {
  it('ends a stream with the reason', async () => {
    const controller = new AbortController();
    const reason = new Error('client gone');
    let tokens = 0;
    const reading = (async () => {
      for await (const _ of model.stream(messages, { maxTokens: 200, signal: controller.signal })) {
        if (++tokens === 3) controller.abort(reason);
      }
    })();
    await expect(reading).rejects.toBe(reason);
    expect(tokens).toBe(3);
  });

  it('refuses a signal that is aborted already', async () => {
    await expect(model.generate(messages, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
    await expect(model.generateBatch([{ messages }], { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  });

  it('leaves the model as it was', async () => {
    expect((await model.generate(messages, { maxTokens: 24 })).tokens).toEqual(greedy);
  });
});

it('computes nothing beyond the event at which a reader leaves', async () => {
  const events: GenerationEvent[] = [];
  const stream = model.stream(messages, { maxTokens: 200 });
  for await (const event of stream) {
    events.push(event);
    break;
  }
  expect(events).toHaveLength(1);
  expect(await stream.next()).toEqual({ done: true, value: undefined });
});

it('answers many at once, each as if alone', async () => {
  const some = cases.slice(0, 8);
  const answers = await Promise.all(
    some.map((entry) => model.generate(conversation(entry.messages), { maxTokens: 24 })),
  );
  expect(answers.map(({ tokens }) => tokens)).toEqual(some.map(({ base }) => base.tokens));
});

describe('limits', () => {
  it('ends at maxTokens', async () => {
    const { finishReason, usage, tokens } = await model.generate(messages, { maxTokens: 5 });
    expect([finishReason, usage.completionTokens, tokens]).toEqual(['length', 5, greedy.slice(0, 5)]);
  });

  it('ends where the context does', async () => {
    const long = [{ role: 'user', content: 'x '.repeat(240) }] as const;
    const { finishReason, usage } = await model.generate(long, { maxTokens: 4096 });
    expect(finishReason).toBe('length');
    expect(usage.promptTokens + usage.completionTokens).toBe(model.contextLength);
  });

  it.each([
    [[{ role: 'user', content: 'x '.repeat(300) }], 'PROMPT_TOO_LONG', 'at most 511 leave room for an answer'],
    [
      [{ role: 'user', content: 'an <image> here' }],
      'INVALID_ARGUMENT',
      'messages[0].content[0].text: contains <image>',
    ],
    [[{ role: 'user', content: Array(17).fill(image) }], 'INVALID_ARGUMENT', '17 pictures, at most 16'],
    [
      [{ role: 'user', content: [{ type: 'image', image: Buffer.from('?') }] }],
      'IMAGE_INVALID',
      'messages[0].content[0].image: the picture is not a PNG',
    ],
  ] as const)('refuses %#', async (wrong, code, message) => {
    await expect(model.generate(wrong)).rejects.toThrow(refused(code, message));
  });

  it('refuses pixels beyond maxPixels', async () => {
    const strict = await openVlm(TINY, { limits: { maxPixels: 1000 } });
    await expect(strict.generate([{ role: 'user', content: [image] }])).rejects.toThrow(
      refused('IMAGE_TOO_LARGE', '32 × 32 pixels, at most 1000'),
    );
    await strict.dispose();
  });
});

describe('options', () => {
  it.each([
    [{ maxTokens: 0 }, 'maxTokens: expected an integer of at least 1, got 0'],
    [{ temperature: -1 }, 'temperature: expected a number from 0 to 100, got -1'],
    [{ temperature: Number.NaN }, 'temperature: expected a number from 0 to 100, got NaN'],
    [{ topP: 1.1 }, 'topP: expected a number from 0 to 1, got 1.1'],
    [{ topK: 0.5 }, 'topK: expected an integer, got 0.5'],
    [{ seed: 1.5 }, 'seed: expected a safe integer of at least 0, got 1.5'],
    [{ stop: [''] }, 'stop: expected at most 16 strings of 1 to 1024 characters'],
    [{ stop: Array(17).fill('a') }, 'stop: expected at most 16 strings'],
    [{ logprobs: 21 }, 'logprobs: expected an integer from 0 to 20, got 21'],
  ])('refuses %j', async (options, message) => {
    await expect(model.generate(messages, options)).rejects.toThrow(refused('INVALID_ARGUMENT', message));
  });
});

describe('sampling', () => {
  const hot = { temperature: 1, maxTokens: 16 };

  it('repeats an answer for its seed, also for the one that it reported', async () => {
    const first = await model.generate(messages, hot);
    const second = await model.generate(messages, { ...hot, seed: first.seed });
    expect(second.tokens).toEqual(first.tokens);
  });

  it('answers otherwise for other seeds', async () => {
    const answers = [];
    for (const seed of [1, 2, 3]) answers.push((await model.generate(messages, { ...hot, seed })).tokens.join());
    expect(new Set(answers).size).toBe(3);
  });

  it('is greedy with topK 1', async () => {
    expect((await model.generate(messages, { ...hot, maxTokens: 24, topK: 1 })).tokens).toEqual(greedy);
  });
});

it('gives the log-probabilities of the tokens whose text came out', async () => {
  const { text, logprobs, tokens } = await model.generate(messages, {
    maxTokens: 24,
    logprobs: 2,
    stop: [cases[0]!.text.slice(9, 14)],
  });
  expect(logprobs.length).toBeGreaterThan(0);
  expect(logprobs.length).toBeLessThan(tokens.length);
  expect(logprobs.map(({ id }) => id)).toEqual(tokens.slice(0, logprobs.length));
  for (const { id, logprob, alternatives } of logprobs) {
    expect(alternatives[0]).toMatchObject({ id, logprob });
    expect(alternatives[1]!.logprob).toBeLessThanOrEqual(logprob);
  }
  // Greedy: the gap between the two likeliest is that of PyTorch's logits.
  logprobs.forEach(({ alternatives: [best, second] }, i) => {
    expect(best!.logprob - second!.logprob).toBeCloseTo(cases[0]!.base.gaps[i]!, 4);
  });
  const bytes = Buffer.concat(logprobs.map((token) => token.bytes));
  expect(new TextDecoder().decode(bytes).startsWith(text)).toBe(true);
});

it('gives every row of a batch its own options', async () => {
  const [a, b, c] = await model.generateBatch([
    { messages, maxTokens: 3 },
    { messages: conversation(cases[4]!.messages), maxTokens: 24 },
    { messages, maxTokens: 12, temperature: 1, seed: 5 },
  ]);
  expect(a!.tokens).toEqual(greedy.slice(0, 3));
  expect(b!.tokens).toEqual(cases[4]!.base.tokens);
  expect(c!.tokens).toEqual((await model.generate(messages, { maxTokens: 12, temperature: 1, seed: 5 })).tokens);
  expect(await model.generateBatch([])).toEqual([]);
});

describe('dispose', () => {
  it('refuses new generations and frees those under way', async () => {
    const short = await openVlm(TINY);
    const stream = short.stream(messages, { maxTokens: 400 });
    await stream.next();
    await short.dispose();
    await short.dispose();
    const rest = (async () => {
      for await (const _ of stream);
    })();
    await expect(rest).rejects.toMatchObject({ code: 'DISPOSED' });
    await expect(short.generate(messages)).rejects.toThrow(refused('DISPOSED', 'the model model is disposed'));
  });

  it('disposes of all variants', async () => {
    const { models, dispose } = await openVariants([{ name: 'a', folder: TINY }]);
    await dispose();
    await expect(models.get('a')!.generate(messages)).rejects.toThrow(refused('DISPOSED', 'the model a is disposed'));
  });
});

it('refuses variants of one name, and none', async () => {
  await expect(openVariants([])).rejects.toThrow(refused('INVALID_ARGUMENT', 'variants: expected a non-empty array'));
  const twice = [
    { name: 'a', folder: TINY },
    { name: 'a', folder: TINY },
  ];
  await expect(openVariants(twice)).rejects.toThrow(
    refused('INVALID_ARGUMENT', "variants: expected names that differ, got 'a'"),
  );
});
