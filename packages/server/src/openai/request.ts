/** A body of /v1/chat/completions to messages and options of a model. */
import type { GenerationOptions, ImagePart, Message } from '@ort-dora/vlm';
import type { z } from 'zod';
import { OpenAiError } from './errors.js';
import { isModestJson } from './json-size.js';
import { type ChatMessage, type ChatRequest, chatRequest } from './schema.js';

export interface ChatLimits {
  /** Largest `max_tokens` of a request; also the most tokens of an answer where it has none. */
  readonly maxAnswerTokens: number;
}

/** What a request without `max_tokens` may take, where the server allows as much. */
const DEFAULT_ANSWER_TOKENS = 512;

/** @throws OpenAiError 400 naming the field */
export function parseChatRequest(body: Uint8Array): ChatRequest {
  if (!isModestJson(body)) throw new OpenAiError(400, 'the body has too many values for a chat', { code: 'too_large' });
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new OpenAiError(400, 'the body is not valid JSON in UTF-8', { code: 'invalid_json' });
  }
  const result = chatRequest.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = deepest(result.error.issues[0]!);
  const param = fieldPath(path);
  throw new OpenAiError(400, param === null ? message : `${param}: ${message}`, { param, code: 'invalid_value' });
}

type Issue = Pick<z.core.$ZodIssue, 'path' | 'message'>;

/** Of the branches of a union, the one that got furthest says most about what is wrong. */
function deepest(issue: z.core.$ZodIssue): Issue {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  const inner = issue.errors.flatMap((branch) => branch.slice(0, 1).map(deepest));
  const furthest = inner.toSorted((a, b) => b.path.length - a.path.length)[0];
  if (furthest === undefined || furthest.path.length === 0) return issue;
  return { path: [...issue.path, ...furthest.path], message: furthest.message };
}

function fieldPath(path: readonly PropertyKey[]): string | null {
  if (path.length === 0) return null;
  return path
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`))
    .join('');
}

/** @throws OpenAiError 400 for a picture that is not a data: URL */
export function toMessages(request: ChatRequest): Message[] {
  return request.messages.map((message, i) => toMessage(message, `messages[${i}]`));
}

function toMessage({ role, content }: ChatMessage, at: string): Message {
  const parts =
    typeof content === 'string'
      ? content
      : content.map((part, j) =>
          part.type === 'text' ? part : toImage(part.image_url.url, `${at}.content[${j}].image_url.url`),
        );
  return { role: role === 'developer' ? 'system' : role, content: parts };
}

const DATA_URL = /^data:image\/[a-z0-9.+-]{1,64};base64,/i;

function toImage(url: string, param: string): ImagePart {
  const head = DATA_URL.exec(url.slice(0, 128))?.[0];
  if (head === undefined) {
    const message = /^https?:/i.test(url)
      ? 'this server does not fetch pictures; send the picture itself as a data: URL (data:image/png;base64,…)'
      : 'expected a data: URL of a picture (data:image/png;base64,…)';
    throw new OpenAiError(400, `${param}: ${message}`, { param, code: 'invalid_image_url' });
  }
  const image = Buffer.from(url.slice(head.length), 'base64');
  // Node skips what is not base64; a picture that is cut short by it is refused when it is decoded.
  if (image.length === 0) {
    throw new OpenAiError(400, `${param}: the data: URL holds no picture`, { param, code: 'invalid_image_url' });
  }
  return { type: 'image', image };
}

/** @throws OpenAiError 400 where more tokens are asked for than the server allows */
export function toGenerationOptions(
  request: ChatRequest,
  { maxAnswerTokens }: ChatLimits,
): Omit<GenerationOptions, 'signal'> {
  const param = request.max_completion_tokens == null ? 'max_tokens' : 'max_completion_tokens';
  const maxTokens = request[param] ?? Math.min(DEFAULT_ANSWER_TOKENS, maxAnswerTokens);
  if (maxTokens > maxAnswerTokens) {
    throw new OpenAiError(400, `${param}: this server allows at most ${maxAnswerTokens} tokens, got ${maxTokens}`, {
      param,
      code: 'invalid_value',
    });
  }
  if (request.top_logprobs != null && request.logprobs !== true) {
    throw new OpenAiError(400, 'top_logprobs: needs logprobs to be true', {
      param: 'top_logprobs',
      code: 'invalid_value',
    });
  }
  const { temperature, top_p, top_k, repetition_penalty, seed, stop, logprobs, top_logprobs } = request;
  return {
    maxTokens,
    ...(temperature != null && { temperature }),
    ...(top_p != null && { topP: top_p }),
    ...(top_k != null && { topK: top_k }),
    ...(repetition_penalty != null && { repetitionPenalty: repetition_penalty }),
    ...(seed != null && { seed }),
    ...(stop != null && { stop }),
    ...(logprobs === true && { logprobs: top_logprobs ?? 0 }),
  };
}
