/** The OpenAI routes in OpenAPI, from the schemas that check them. */
import { jsonContent, jsonSchema, type OpenApiPaths, type Operation } from '../openapi.js';
import * as schema from './schema.js';

const tags = ['OpenAI'];

const ERRORS = {
  400: 'The request is wrong; `param` names the field',
  404: 'No such model',
  413: 'The body or a picture is too large',
  429: 'The queue is full; see Retry-After',
  503: 'The model is not loaded, or the server is shutting down',
} as const;

const failures = (...statuses: (keyof typeof ERRORS)[]): Operation['responses'] =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: ERRORS[status], content: jsonContent(schema.errorResponse, 'output') },
    ]),
  );

const model = { name: 'model', in: 'path', required: true, schema: { type: 'string' } };

export const openAiPaths: OpenApiPaths = {
  '/v1/models': {
    get: {
      summary: 'The chat models: a base, its adapters, rewritten ones',
      tags,
      responses: { 200: { description: 'Done', content: jsonContent(schema.modelList, 'output') } },
    },
  },
  '/v1/models/{model}': {
    get: {
      summary: 'One chat model',
      tags,
      parameters: [model],
      responses: {
        200: { description: 'Done', content: jsonContent(schema.modelObject, 'output') },
        ...failures(404),
      },
    },
  },
  '/v1/chat/completions': {
    post: {
      summary: 'Ask about pictures',
      tags,
      requestBody: { required: true, content: jsonContent(schema.chatRequest, 'input') },
      responses: {
        200: {
          description: 'The answer; with `stream`, one event a chunk, then `data: [DONE]`',
          content: {
            ...jsonContent(schema.chatCompletion, 'output'),
            'text/event-stream': { schema: jsonSchema(schema.chatCompletionChunk, 'output') },
          },
        },
        ...failures(400, 404, 413, 429, 503),
      },
    },
  },
};
