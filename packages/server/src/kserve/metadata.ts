/** What the protocol says about the server and its models. */
import type { z } from 'zod';
import type { ServedModel, TensorSpec } from '../models/model.js';
import { VERSION } from '../version.js';
import { datatypeOf } from './datatypes.js';
import type { ModelMetadata, repositoryIndex, serverMetadata } from './schema.js';

/** Models are not versioned: each has this one. */
export const MODEL_VERSION = '1';

export function describeServer(): z.output<typeof serverMetadata> {
  return { name: 'ort-dora', version: VERSION, extensions: ['binary_tensor_data', 'model_repository'] };
}

/** Undefined while the model is not loaded. */
export function describeModel({ name, state }: ServedModel): ModelMetadata | undefined {
  if (state.status !== 'ready') return undefined;
  const { inputs, outputs, backend } = state.loaded;
  return {
    name,
    versions: [MODEL_VERSION],
    platform: 'onnxruntime_onnx',
    inputs: inputs.map(describeTensor),
    outputs: outputs.map(describeTensor),
    backend,
  };
}

function describeTensor({ name, type, shape }: TensorSpec): ModelMetadata['inputs'][number] {
  return { name, datatype: datatypeOf(type), shape: shape.map((length) => (typeof length === 'number' ? length : -1)) };
}

export function describeRepository(
  models: readonly ServedModel[],
  onlyReady: boolean,
): z.output<typeof repositoryIndex> {
  return models
    .filter(({ state }) => !onlyReady || state.status === 'ready')
    .map(({ name, state }) => ({
      name,
      version: MODEL_VERSION,
      state: STATES[state.status],
      // The reason itself can hold paths of this machine; it is in the log.
      reason: state.status === 'unavailable' ? 'the model could not be loaded; see the server log' : '',
    }));
}

const STATES = { loading: 'LOADING', ready: 'READY', unavailable: 'UNAVAILABLE' } as const;
