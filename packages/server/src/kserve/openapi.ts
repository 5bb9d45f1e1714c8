/** The KServe routes in OpenAPI, from the schemas that check them. */
import type { z } from 'zod';
import { jsonContent, jsonSchema, type OpenApiPaths, type Operation } from '../openapi.js';
import * as schema from './schema.js';

const tags = ['KServe v2'];

const model = { name: 'model', in: 'path', required: true, schema: { type: 'string' } };
const version = { name: 'version', in: 'path', required: true, schema: { type: 'string', enum: ['1'] } };
const headerLength = {
  name: 'Inference-Header-Content-Length',
  in: 'header',
  required: false,
  schema: { type: 'integer', minimum: 0 },
  description: 'Bytes of the JSON object, where binary tensor data follows it',
};

const ERRORS = {
  400: 'The request does not fit the protocol or the model; the message says where',
  404: 'No such model or version',
  413: 'The body or its JSON part is too large',
  415: 'The content encoding is not supported',
  429: 'The queue is full; see Retry-After',
  503: 'The model is not loaded, the server is shutting down, or the request has timed out',
} as const;

function operation(
  summary: string,
  response: z.ZodType,
  errors: readonly (keyof typeof ERRORS)[],
  rest: Pick<Operation, 'parameters' | 'requestBody' | 'security'> = {},
): Operation {
  const failures = errors.map((status) => [
    status,
    { description: ERRORS[status], content: jsonContent(schema.errorResponse, 'output') },
  ]);
  return {
    summary,
    tags,
    ...rest,
    responses: {
      200: { description: 'Done', content: jsonContent(response, 'output') },
      ...Object.fromEntries(failures),
    },
  };
}

const inferBody = {
  required: true,
  content: {
    ...jsonContent(schema.inferenceRequest, 'input'),
    'application/octet-stream': {
      schema: {
        type: 'string',
        format: 'binary',
        description: 'The JSON object, then the binary data of the inputs in order',
      },
    },
  },
};

function infer(parameters: readonly object[]): Operation {
  const rest = { parameters: [...parameters, headerLength], requestBody: inferBody };
  const result = operation('Run a model', schema.inferenceResponse, [400, 404, 413, 415, 429, 503], rest);
  const binary = {
    schema: {
      type: 'string',
      format: 'binary',
      description: 'The JSON object, then the binary data of the outputs in order',
    },
  };
  const content = { ...jsonContent(schema.inferenceResponse, 'output'), 'application/octet-stream': binary };
  return { ...result, responses: { ...result.responses, 200: { description: 'The outputs', content } } };
}

const metadata = (parameters: readonly object[]) =>
  operation('Inputs and outputs of a model', schema.modelMetadata, [404, 503], { parameters });

const ready = (parameters: readonly object[]): Operation => {
  const result = operation('Whether a model can run', schema.modelReady, [404], { parameters });
  const notReady = {
    description: 'Not ready',
    content: { 'application/json': { schema: jsonSchema(schema.modelReady, 'output') } },
  };
  return { ...result, responses: { ...result.responses, 503: notReady } };
};

export const kservePaths: OpenApiPaths = {
  '/v2': { get: operation('About this server', schema.serverMetadata, []) },
  '/v2/health/live': { get: operation('Whether the process answers', schema.serverLive, [], { security: [] }) },
  '/v2/health/ready': { get: operation('Whether requests are served', schema.serverReady, [], { security: [] }) },
  '/v2/models/{model}': { get: metadata([model]) },
  '/v2/models/{model}/versions/{version}': { get: metadata([model, version]) },
  '/v2/models/{model}/ready': { get: ready([model]) },
  '/v2/models/{model}/versions/{version}/ready': { get: ready([model, version]) },
  '/v2/models/{model}/infer': { post: infer([model]) },
  '/v2/models/{model}/versions/{version}/infer': { post: infer([model, version]) },
  '/v2/repository/index': {
    post: operation('The models of this server', schema.repositoryIndex, [400, 413, 429, 503], {
      requestBody: { required: false, content: jsonContent(schema.repositoryIndexRequest, 'input') },
    }),
  },
};
