// Chat completions by the client that everyone uses, against what PyTorch answers.
import { APIError, BadRequestError, NotFoundError } from 'openai';
import supertest from 'supertest';
import { beforeAll, describe, expect, it } from 'vitest';
import type { OrtDoraServer } from '../src/index.js';
import { answerOf, ask, client, DEMO, pictureUrl, RECORDED, TINY } from './support/chat.js';
import { metric, SAMPLES, send, start, until } from './support/server.js';

let server: OrtDoraServer;
beforeAll(async () => {
  server = await start({ models: DEMO });
});

const openai = () => client(server.url);

/** Questions of the kind that the base answers, with what PyTorch answers, right or wrong. */
const plain = RECORDED.filter(({ task }) => task === 'plain')
  .slice(0, 4)
  .map((record) => ({ ...record, answer: answerOf(record, 'base') }));

describe('the openai package', () => {
  it('lists the base and its adapter', async () => {
    const { data } = await openai().models.list();
    expect(data.map(({ id, object }) => [id, object])).toEqual([
      ['demo', 'model'],
      ['demo-reading', 'model'],
    ]);
    expect((await openai().models.retrieve('demo-reading')).id).toBe('demo-reading');
    await expect(openai().models.retrieve('gpt')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it.each(plain)('asks: $question', async ({ picture, question, answer, input_ids, tokens }) => {
    const completion = await openai().chat.completions.create({
      model: 'demo',
      messages: ask(picture, question),
      temperature: 0,
    });
    expect(completion).toMatchObject({
      object: 'chat.completion',
      model: 'demo',
      choices: [{ index: 0, message: { role: 'assistant', content: answer }, finish_reason: 'stop', logprobs: null }],
      usage: {
        prompt_tokens: input_ids.length,
        completion_tokens: tokens.base!.length,
        total_tokens: input_ids.length + tokens.base!.length,
      },
    });
    expect(completion.id).toMatch(/^chatcmpl-/);
    expect(completion._request_id).toBeTruthy();
  });

  it('streams the same answer, with the usage last', async () => {
    const { picture, question, answer, input_ids } = plain[0]!;
    const stream = await openai().chat.completions.create({
      model: 'demo',
      messages: ask(picture, question),
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks[0]!.choices[0]!.delta).toEqual({ role: 'assistant', content: '' });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(answer);
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: input_ids.length } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  it('lets the adapter answer what it was trained for', async () => {
    const reading = RECORDED.filter(({ task }) => task === 'reading').slice(0, 10);
    const right = async (model: string) => {
      let count = 0;
      for (const { picture, question, answer } of reading) {
        const messages = ask(picture, question);
        const { choices } = await openai().chat.completions.create({ model, messages, temperature: 0 });
        if (choices[0]!.message.content === answer) count += 1;
      }
      return count;
    };
    const base = await right('demo');
    expect(await right('demo-reading')).toBeGreaterThan(base);
  });

  it('gives log-probabilities that add up', async () => {
    const { picture, question, answer } = plain[0]!;
    const { choices } = await openai().chat.completions.create({
      model: 'demo',
      messages: ask(picture, question),
      temperature: 0,
      logprobs: true,
      top_logprobs: 2,
    });
    const tokens = choices[0]!.logprobs!.content!;
    expect(tokens.map(({ token }) => token).join('')).toBe(answer);
    for (const { token, logprob, top_logprobs } of tokens) {
      expect(top_logprobs[0]).toMatchObject({ token, logprob });
      expect(top_logprobs.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeLessThanOrEqual(1.0001);
    }
  });

  it('samples the same answer for the same seed', async () => {
    const { picture, question } = plain[0]!;
    const sample = async (seed: number) => {
      const request = { model: 'demo', messages: ask(picture, question), temperature: 2, seed, max_tokens: 12 };
      return (await openai().chat.completions.create(request)).choices[0]!.message.content;
    };
    const answers = await Promise.all([1, 1, 2, 3, 4, 5].map(sample));
    expect(answers[0]).toBe(answers[1]);
    expect(new Set(answers).size).toBeGreaterThan(1);
  });

  it('ends at max_tokens and before a stop string', async () => {
    const { picture, question, answer } = plain.find(({ tokens }) => tokens.base!.length > 2)!;
    const request = { model: 'demo', messages: ask(picture, question), temperature: 0 };
    for (const limit of [{ max_tokens: 1 }, { max_completion_tokens: 1 }]) {
      const { choices, usage } = await openai().chat.completions.create({ ...request, ...limit });
      expect(choices[0]!.finish_reason).toBe('length');
      expect(usage!.completion_tokens).toBe(1);
    }
    const stop = answer.slice(1);
    const { choices } = await openai().chat.completions.create({ ...request, stop: [stop] });
    expect(choices[0]).toMatchObject({ message: { content: answer[0] }, finish_reason: 'stop' });
  });

  it('throws the error that belongs to the status', async () => {
    const messages = ask(plain[0]!.picture, 'What?');
    const ask2 = (request: object) =>
      openai().chat.completions.create({ model: 'demo', messages, ...request } as never);
    await expect(ask2({ model: 'other' })).rejects.toBeInstanceOf(NotFoundError);
    const error = await ask2({ top_p: 2 }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ type: 'invalid_request_error', param: 'top_p', code: 'invalid_value' });
    // Found before the first event, so a stream has the status too.
    await expect(ask2({ stream: true, max_tokens: 100_000 })).rejects.toMatchObject({
      status: 400,
      param: 'max_tokens',
    });
  });
});

const remote = (url: string) => [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }];
const text = [{ role: 'user', content: 'What?' }];

describe('refuses in the form of OpenAI', () => {
  it.each<[string, object | string, number, string | null, RegExp]>([
    ['no JSON', '{', 400, null, /not valid JSON/],
    ['no object', '[]', 400, null, /expected object/],
    ['no messages', { model: 'demo' }, 400, 'messages', /^messages: /],
    ['no user', { model: 'demo', messages: [{ role: 'tool', content: '' }] }, 400, 'messages[0].role', /role/],
    [
      'a part of another kind',
      { model: 'demo', messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] },
      400,
      'messages[0].content[0].type',
      /type/,
    ],
    [
      'a remote picture',
      { model: 'demo', messages: remote('https://example.org/a.png') },
      400,
      'messages[0].content[0].image_url.url',
      /does not fetch pictures/,
    ],
    [
      'a picture in a file',
      { model: 'demo', messages: remote('file:///etc/passwd') },
      400,
      'messages[0].content[0].image_url.url',
      /data: URL/,
    ],
    [
      'an empty picture',
      { model: 'demo', messages: remote('data:image/png;base64,') },
      400,
      'messages[0].content[0].image_url.url',
      /no picture/,
    ],
    [
      'bytes that are no picture',
      { model: 'demo', messages: remote('data:image/png;base64,AAAA') },
      400,
      'messages[0].content[0].image_url',
      /./,
    ],
    ['several answers', { model: 'demo', messages: text, n: 2 }, 400, 'n', /only 1/],
    ['tools', { model: 'demo', messages: text, tools: [{ type: 'function' }] }, 400, 'tools', /not supported/],
    ['a penalty', { model: 'demo', messages: text, presence_penalty: 1 }, 400, 'presence_penalty', /not supported/],
    [
      'a schema for the answer',
      { model: 'demo', messages: text, response_format: { type: 'json_object' } },
      400,
      'response_format.type',
      /only "text"/,
    ],
    [
      'alternatives without log-probabilities',
      { model: 'demo', messages: text, top_logprobs: 2 },
      400,
      'top_logprobs',
      /logprobs/,
    ],
    [
      'a prompt beyond the context',
      { model: 'demo', messages: [{ role: 'user', content: 'What? '.repeat(2000) }] },
      400,
      'messages',
      /./,
    ],
    ['another model', { model: 'gpt-4o', messages: text }, 404, 'model', /"demo", "demo-reading"/],
  ])('%s', async (_what, body, status, param, message) => {
    const answer = await send(server.url, '/v1/chat/completions', {
      method: 'POST',
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    expect(answer.json()).toMatchObject({
      error: { message: expect.stringMatching(message), type: 'invalid_request_error', param },
    });
    expect(answer.status).toBe(status);
  });

  it('a body and a picture beyond the limits, and paths that are not there', async () => {
    const small = await start({ models: TINY, maxChatBytes: 8192, maxImagePixels: 100, maxImages: 1 });
    const post = (body: object) =>
      supertest(small.url)
        .post('/v1/chat/completions')
        .send({ model: 'tiny', ...body });
    const large = await post({ messages: [{ role: 'user', content: 'x'.repeat(9000) }] });
    expect([large.status, large.body.error.type]).toEqual([413, 'invalid_request_error']);
    const url = pictureUrl(`${TINY}/../files/grey.png`);
    const pixels = await post({ messages: remote(url) });
    expect([pixels.status, pixels.body.error.code]).toEqual([413, 'image_too_large']);
    const missing = await supertest(small.url).get('/v1/completions');
    expect([missing.status, missing.body.error.type]).toEqual([404, 'invalid_request_error']);
  });

  it('a wrong key', async () => {
    const locked = await start({ models: TINY, apiKey: 'correct-horse-battery' });
    await expect(client(locked.url, 'wrong-wrong').models.list()).rejects.toMatchObject({
      status: 401,
      code: 'invalid_api_key',
    });
    expect((await client(locked.url, 'correct-horse-battery').models.list()).data.length).toBeGreaterThan(0);
  });
});

describe('under load', () => {
  const endless = (content = 'a b c') => ({
    model: 'tiny',
    messages: [{ role: 'user' as const, content }],
    temperature: 0,
    max_tokens: 4000,
  });

  it('stops the generation when the client goes away, streaming or not', async () => {
    const own = await start({ models: TINY, maxConcurrentRuns: 1 });
    const cancelled = () => metric(own.url, 'ort_dora_chat_requests_total{model="tiny",outcome="cancelled"}');
    const running = () => metric(own.url, 'ort_dora_requests_running');

    const stream = await client(own.url).chat.completions.create({ ...endless(), stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await until(async () => (await cancelled()) === 1 && (await running()) === 0, 'the stream to be cancelled');

    const controller = new AbortController();
    const answer = client(own.url).chat.completions.create(endless(), { signal: controller.signal });
    const outcome = expect(answer).rejects.toBeInstanceOf(APIError);
    await until(async () => (await running()) === 1, 'the run to start');
    controller.abort();
    await outcome;
    await until(async () => (await cancelled()) === 2 && (await running()) === 0, 'the answer to be cancelled');
  });

  it('refuses with 429 when the queue is full', async () => {
    const own = await start({ models: TINY, maxConcurrentRuns: 1, maxQueuedRuns: 0 });
    const stream = await client(own.url).chat.completions.create({ ...endless(), stream: true });
    await expect(client(own.url).chat.completions.create(endless())).rejects.toMatchObject({
      status: 429,
      type: 'rate_limit_error',
    });
    stream.controller.abort();
  });

  it('finishes answers while it drains, and ends those that take too long with an error', async () => {
    const finishing = await start({ models: DEMO });
    const { picture, question, answer } = plain[0]!;
    const pending = client(finishing.url).chat.completions.create({
      model: 'demo',
      messages: ask(picture, question),
      temperature: 0,
    });
    await until(async () => (await metric(finishing.url, 'ort_dora_requests_running')) === 1, 'the run to start');
    await finishing.close();
    expect((await pending).choices[0]!.message.content).toBe(answer);

    const aborting = await start({ models: TINY, drainTimeoutMs: 1 });
    const stream = await client(aborting.url).chat.completions.create({ ...endless(), stream: true });
    const reading = (async () => {
      for await (const chunk of stream) if (chunk.choices.length === 0) break;
    })();
    const outcome = expect(reading).rejects.toThrow(/shut down/);
    await aborting.close();
    await outcome;
  });
});

it('counts what it answers', async () => {
  const own = await start({ models: DEMO });
  const { picture, question, input_ids, tokens } = plain[0]!;
  await client(own.url).chat.completions.create({ model: 'demo', messages: ask(picture, question), temperature: 0 });
  expect(await metric(own.url, 'ort_dora_chat_requests_total{model="demo",outcome="stop"}')).toBe(1);
  expect(await metric(own.url, 'ort_dora_prompt_tokens_total{model="demo"}')).toBe(input_ids.length);
  expect(await metric(own.url, 'ort_dora_answer_tokens_total{model="demo"}')).toBe(tokens.base!.length);
  expect(await metric(own.url, 'ort_dora_time_to_first_token_seconds_count{model="demo"}')).toBe(1);
  expect(await metric(own.url, 'ort_dora_model_ready{model="demo-reading"}')).toBe(1);
});

it('serves chat beside single graphs; the curl line of a chat model works', async () => {
  const own = await start({ models: DEMO });
  const { curl, model } = own.examples()[1]!;
  expect(model).toBe('demo-reading');
  const body = /-d '(.*)'$/.exec(curl)![1]!;
  const answer = await supertest(own.url).post('/v1/chat/completions').type('json').send(body).expect(200);
  expect(answer.body.choices[0].message.content).toBeTypeOf('string');
  const graphs = await start({ models: SAMPLES, allowFailedModels: true });
  expect((await supertest(graphs.url).get('/v1/models')).body).toEqual({ object: 'list', data: [] });
});
