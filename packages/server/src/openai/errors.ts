/** Failures in the form that OpenAI's clients read: `{error: {message, type, param, code}}`. */
import { RuntimeError } from '@ort-dora/runtime';
import { VlmError } from '@ort-dora/vlm';
import { type ErrorBody, HttpError } from '../errors.js';

/** An HttpError that names the field at fault and has a code for programs. */
export class OpenAiError extends HttpError {
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    status: number,
    message: string,
    { param = null, code = null, cause }: { param?: string | null; code?: string | null; cause?: unknown } = {},
  ) {
    super(status, message, {}, cause === undefined ? undefined : { cause });
    this.param = param;
    this.code = code;
  }
}

export const openAiErrorBody: ErrorBody = (error) => {
  const { param, code } = error instanceof OpenAiError ? error : { param: null, code: CODES[error.status] ?? null };
  return { error: { message: error.message, type: typeOf(error.status), param, code } };
};

const CODES: Readonly<Record<number, string>> = {
  401: 'invalid_api_key',
  429: 'rate_limit_exceeded',
  503: 'service_unavailable',
};

function typeOf(status: number): string {
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

/** What a model or its processors refuse of a request is the client's to change; anything else is passed on as it is. */
export function generationError(error: unknown): unknown {
  if (error instanceof RuntimeError && error.code === 'RUN_FAILED' && /alloc/i.test(error.message)) {
    return new HttpError(503, 'not enough memory for an answer of this size', {}, { cause: error });
  }
  if (!(error instanceof VlmError)) return error;
  const param = error.parameter === undefined ? null : openAiName(error.parameter);
  switch (error.code) {
    case 'INVALID_ARGUMENT':
      return new OpenAiError(400, error.message, { param, code: 'invalid_value' });
    case 'IMAGE_INVALID':
      return new OpenAiError(400, error.message, { param, code: 'invalid_image' });
    case 'IMAGE_TOO_LARGE':
      return new OpenAiError(413, error.message, { param, code: 'image_too_large' });
    case 'PROMPT_TOO_LONG':
      return new OpenAiError(400, error.message, { param: 'messages', code: 'context_length_exceeded' });
    default:
      return error;
  }
}

/** `messages[0].content[1].image` as the request calls it. */
function openAiName(parameter: string): string {
  const names: Readonly<Record<string, string>> = { maxTokens: 'max_tokens', topP: 'top_p', topK: 'top_k' };
  return names[parameter] ?? parameter.replace(/\.image$/, '.image_url');
}
