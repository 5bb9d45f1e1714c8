/** The messages of OpenAI's chat completions. Requests are checked against these; /openapi.json is made from them. */
import { z } from 'zod';

/** What would change the meaning of an answer is refused, not ignored. */
const unsupported = (what: string) =>
  z
    .null({ error: `${what} is not supported by this server` })
    .optional()
    .meta({ 'x-unsupported': true });

const textPart = z.object({ type: z.literal('text'), text: z.string() });

const imagePart = z.object({
  type: z.literal('image_url'),
  image_url: z.object({
    url: z
      .string()
      .meta({ description: 'data:image/png;base64,… (PNG, JPEG, WebP or GIF). Other URLs are not fetched.' }),
    detail: z.enum(['auto', 'low', 'high']).nullish(),
  }),
});

const text = z.union([z.string(), z.array(textPart).min(1)]);

const message = z.discriminatedUnion('role', [
  z.object({ role: z.enum(['system', 'developer', 'assistant']), content: text }),
  z.object({
    role: z.literal('user'),
    content: z.union([z.string(), z.array(z.discriminatedUnion('type', [textPart, imagePart])).min(1)]),
  }),
]);

const zero = (what: string) =>
  z
    .literal(0, { error: `${what} other than 0 is not supported by this server` })
    .nullish()
    .meta({ 'x-unsupported': true });

export const chatRequest = z.object({
  model: z.string().min(1).max(256),
  messages: z.array(message).min(1).max(1024),
  max_completion_tokens: z.int().min(1).nullish(),
  max_tokens: z.int().min(1).nullish().meta({ description: 'The older name of max_completion_tokens' }),
  temperature: z.number().min(0).max(2).nullish().meta({ description: '0: greedy. Default: that of the model.' }),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  repetition_penalty: z.number().min(0.01).max(100).nullish(),
  seed: z.int().min(0).nullish(),
  stop: z
    .union([z.string().min(1).max(1024), z.array(z.string().min(1).max(1024)).max(16)])
    .nullish()
    .meta({ description: 'The answer ends before the first of these strings' }),
  n: z.literal(1, { error: 'only 1 answer a request' }).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  response_format: z.object({ type: z.literal('text', { error: 'only "text"' }) }).nullish(),
  tools: z
    .array(z.unknown())
    .max(0, { error: 'tools are not supported by this server' })
    .nullish()
    .meta({ 'x-unsupported': true }),
  functions: unsupported('functions'),
  audio: unsupported('audio'),
  frequency_penalty: zero('frequency_penalty'),
  presence_penalty: zero('presence_penalty'),
});

export type ChatRequest = z.output<typeof chatRequest>;
export type ChatMessage = ChatRequest['messages'][number];

const tokenLogprob = z.object({ token: z.string(), bytes: z.array(z.int()), logprob: z.number() });

const logprobs = z
  .object({ content: z.array(tokenLogprob.extend({ top_logprobs: z.array(tokenLogprob) })) })
  .nullable();

const usage = z.object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() });
const finishReason = z.enum(['stop', 'length']);

export const chatCompletion = z.object({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int().meta({ description: 'Seconds since 1970' }),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
      logprobs,
      finish_reason: finishReason,
    }),
  ),
  usage,
});

export type ChatCompletion = z.output<typeof chatCompletion>;

export const chatCompletionChunk = z.object({
  id: z.string(),
  object: z.literal('chat.completion.chunk'),
  created: z.int(),
  model: z.string(),
  choices: z.array(
    z.object({
      index: z.int(),
      delta: z.object({ role: z.literal('assistant').optional(), content: z.string().optional() }),
      logprobs,
      finish_reason: finishReason.nullable(),
    }),
  ),
  usage: usage
    .nullable()
    .optional()
    .meta({ description: 'With stream_options.include_usage: null but in the last chunk' }),
});

export type ChatCompletionChunk = z.output<typeof chatCompletionChunk>;

export const modelObject = z.object({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
});

export const modelList = z.object({ object: z.literal('list'), data: z.array(modelObject) });

export const errorResponse = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable().meta({ description: 'The field at fault, such as messages[0].content[1].image_url' }),
    code: z.string().nullable(),
  }),
});
