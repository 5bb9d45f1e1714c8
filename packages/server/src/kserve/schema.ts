/** The messages of the Open Inference Protocol v2. Requests are checked against these; /openapi.json is made from them. */
import { z } from 'zod';
import { DATATYPES } from './datatypes.js';

const parameterValue = z.union([z.string(), z.number(), z.boolean()]);
const parameters = z.record(z.string(), parameterValue);
const name = z.string().min(1).max(1024);
const datatype = z.enum(DATATYPES);

/** Triton's shared memory and classification would change the meaning of a request, so they are refused, not ignored. */
const unsupported = (what: string) =>
  z
    .undefined({ error: `${what} is not supported by this server` })
    .optional()
    .meta({ 'x-unsupported': true });

const inputParameters = z
  .object({
    binary_data_size: z.int().min(0).optional().meta({ description: 'Bytes of this tensor behind the JSON object' }),
    shared_memory_region: unsupported('shared memory'),
  })
  .catchall(parameterValue);

const outputParameters = z
  .object({
    binary_data: z.boolean().optional().meta({ description: 'Return this output as binary data' }),
    classification: unsupported('the classification extension'),
    shared_memory_region: unsupported('shared memory'),
  })
  .catchall(parameterValue);

const requestParameters = z
  .object({
    binary_data_output: z.boolean().optional().meta({ description: 'Return all outputs as binary data' }),
    timeout: z
      .int()
      .min(1)
      .optional()
      .meta({ description: 'Microseconds that the request may take, waiting included' }),
    sequence_id: unsupported('the sequence extension'),
  })
  .catchall(parameterValue);

export const requestInput = z.object({
  name,
  shape: z.array(z.int().min(0)).max(64),
  datatype,
  parameters: inputParameters.optional(),
  // Not looked into here: a schema walk over millions of elements would cost more than the inference.
  data: z
    .unknown()
    .optional()
    .meta({ type: 'array', items: {}, description: 'Row-major, flat or nested. Absent where the tensor is binary.' }),
});

export const inferenceRequest = z.object({
  id: z.string().max(1024).optional(),
  parameters: requestParameters.optional(),
  inputs: z.array(requestInput).max(4096),
  outputs: z
    .array(z.object({ name, parameters: outputParameters.optional() }))
    .max(4096)
    .optional(),
});

export type InferenceRequest = z.output<typeof inferenceRequest>;
export type RequestInput = z.output<typeof requestInput>;

export const inferenceResponse = z.object({
  model_name: z.string(),
  model_version: z.string(),
  id: z.string().optional(),
  outputs: z.array(
    z.object({
      name: z.string(),
      datatype,
      shape: z.array(z.int()),
      parameters: parameters.optional(),
      data: z.array(z.unknown()).optional().meta({
        description: 'Row-major and flat. Non-finite numbers are the strings "NaN", "Infinity" and "-Infinity".',
      }),
    }),
  ),
});

export type InferenceResponse = z.output<typeof inferenceResponse>;

const tensorMetadata = z.object({
  name: z.string(),
  datatype,
  shape: z.array(z.int()).meta({ description: '-1 where the length is variable' }),
});

export const modelMetadata = z.object({
  name: z.string(),
  versions: z.array(z.string()),
  platform: z.string(),
  inputs: z.array(tensorMetadata),
  outputs: z.array(tensorMetadata),
  backend: z
    .enum(['addon', 'onnxruntime-node'])
    .meta({ description: 'onnxruntime-node: the fallback without the native addon' }),
});

export type ModelMetadata = z.output<typeof modelMetadata>;

export const serverMetadata = z.object({
  name: z.string(),
  version: z.string(),
  extensions: z.array(z.string()),
});

export const repositoryIndexRequest = z.object({ ready: z.boolean().optional() });

export const repositoryIndex = z.array(
  z.object({
    name: z.string(),
    version: z.string(),
    state: z.enum(['LOADING', 'READY', 'UNAVAILABLE']),
    reason: z.string(),
  }),
);

export const serverLive = z.object({ live: z.boolean() });
export const serverReady = z.object({ ready: z.boolean() });
export const modelReady = z.object({ name: z.string(), ready: z.boolean() });
export const errorResponse = z.object({ error: z.string() });
