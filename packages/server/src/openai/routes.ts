/** OpenAI's chat completions and list of models, answered by vision-language models. */
import { randomUUID } from 'node:crypto';
import type { EndEvent, Generation, GenerationEvent, Vlm } from '@ort-dora/vlm';
import { type Request, type RequestHandler, type Response, Router } from 'express';
import { readBody } from '../body.js';
import { HttpError, toHttpError } from '../errors.js';
import type { Metrics } from '../metrics.js';
import type { ChatModel, ChatModels } from '../models/chat-models.js';
import type { RunQueue, RunTicket } from '../run-queue.js';
import { ChatMeter } from './chat-meter.js';
import { generationError, OpenAiError, openAiErrorBody } from './errors.js';
import { type ChatLimits, parseChatRequest, toGenerationOptions, toMessages } from './request.js';
import { AnswerForm } from './response.js';
import { EventStream } from './stream.js';

export interface OpenAiOptions extends ChatLimits {
  readonly chat: ChatModels;
  readonly queue: RunQueue;
  readonly metrics: Metrics;
  readonly maxChatBytes: number;
  readonly sendTimeoutMs: number;
}

/** Failures are thrown as HttpError; the caller mounts an error handler with `openAiErrorBody` behind this router. */
export function openAi(options: OpenAiOptions): Router {
  const { chat } = options;
  const router = Router({ caseSensitive: true });
  router.get('/v1/models', (_req, res) => {
    res.json({ object: 'list', data: chat.list().map(describeModel) });
  });
  router.get('/v1/models/:model', (req, res) => {
    res.json(describeModel(findModel(chat, req.params.model)));
  });
  router.post('/v1/chat/completions', chatCompletions(options));
  return router;
}

function describeModel({ name, created }: ChatModel): object {
  return { id: name, object: 'model', created: Math.floor(created / 1000), owned_by: 'ort-dora' };
}

function findModel(chat: ChatModels, name: string): ChatModel {
  const model = chat.get(name);
  if (model !== undefined) return model;
  const known = chat.list().map((other) => `"${other.name}"`);
  throw new OpenAiError(
    404,
    `the model "${name}" does not exist; this server has ${known.join(', ') || 'no chat model'}`,
    { param: 'model', code: 'model_not_found' },
  );
}

function loadedModel({ name, state }: ChatModel): Vlm {
  if (state.status === 'ready') return state.vlm;
  if (state.status === 'loading') throw new HttpError(503, `model "${name}" is still loading`, { 'Retry-After': '1' });
  throw new HttpError(503, `model "${name}" is not available; the server log says why`);
}

function chatCompletions(options: OpenAiOptions): RequestHandler {
  return async (req, res) => {
    const ticket = options.queue.admit();
    const onClose = () => {
      if (!res.writableFinished) ticket.abort(new HttpError(499, 'the client closed the connection'));
    };
    res.once('close', onClose);
    try {
      await chatWithTicket(options, ticket, req, res);
    } finally {
      res.off('close', onClose);
      ticket.release();
    }
  };
}

async function chatWithTicket(options: OpenAiOptions, ticket: RunTicket, req: Request, res: Response): Promise<void> {
  const received = performance.now();
  const { signal } = ticket;
  const request = parseChatRequest(await readBody(req, res, { limit: options.maxChatBytes, signal }));
  const model = findModel(options.chat, request.model);
  const vlm = loadedModel(model);
  const messages = toMessages(request);
  const generation = toGenerationOptions(request, options);
  const meter = new ChatMeter(options.metrics, model.name, received);
  const form = new AnswerForm({
    id: `chatcmpl-${randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: model.name,
    logprobs: request.logprobs === true,
    includeUsage: request.stream_options?.include_usage === true,
  });
  try {
    meter.started(await ticket.turn());
    const events = meter.measure(vlm.stream(messages, { ...generation, signal }));
    if (request.stream === true) {
      await streamAnswer(events, form, ticket, res, options.sendTimeoutMs);
    } else {
      const answer = await collect(events);
      ticket.endRun();
      res.setTimeout(options.sendTimeoutMs, () => res.destroy());
      res.json(form.completion(answer));
    }
  } catch (error) {
    meter.failed(signal.aborted);
    throw generationError(error);
  }
}

async function collect(events: AsyncIterable<GenerationEvent>): Promise<Generation> {
  let text = '';
  const logprobs = [];
  let end: EndEvent | undefined;
  for await (const event of events) {
    if (event.type === 'end') {
      end = event;
    } else {
      text += event.text;
      logprobs.push(...event.logprobs);
    }
  }
  return { ...end!, text, logprobs };
}

/** The status is sent with the first event: what is wrong with a request is found before, and gets a status of its own. */
async function streamAnswer(
  events: AsyncIterable<GenerationEvent>,
  form: AnswerForm,
  { signal }: RunTicket,
  res: Response,
  sendTimeoutMs: number,
): Promise<void> {
  let stream: EventStream | undefined;
  try {
    for await (const event of events) {
      if (stream === undefined) {
        stream = new EventStream(res, { signal, sendTimeoutMs });
        await stream.send(form.firstChunk());
      }
      for (const chunk of form.chunks(event)) await stream.send(chunk);
    }
    stream!.end();
  } catch (error) {
    if (stream === undefined) throw error;
    stream.fail(openAiErrorBody(toHttpError(generationError(error))));
    throw error;
  }
}
