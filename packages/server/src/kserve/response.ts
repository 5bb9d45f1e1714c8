/** From the outputs of a run to the body of an inference response. */
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TensorData } from '@ort-dora/runtime';
import type { Response } from 'express';
import { HttpError } from '../errors.js';
import { encodeBinaryData } from './binary-tensors.js';
import { encodeJsonData } from './json-tensors.js';
import type { Inference } from './request.js';

/** Up to here a JSON response is built at once and has a Content-Length; beyond, it is streamed piece by piece. */
const STREAM_ABOVE_ELEMENTS = 65_536;

/** Beside binary data the JSON object cannot be streamed, since its length goes in front. */
const MIXED_JSON_ELEMENTS = 2 ** 20;

export interface ResponseHead {
  readonly modelName: string;
  readonly modelVersion: string;
}

/** Resolves when the answer has been handed to the system. Rejects with the signal's reason. */
export async function sendInference(
  res: Response,
  head: ResponseHead,
  inference: Inference,
  results: Readonly<Record<string, TensorData>>,
  signal: AbortSignal,
): Promise<void> {
  const binaries: Uint8Array[] = [];
  let jsonElements = 0;
  for (const { spec, binary } of inference.outputs) {
    const tensor = results[spec.name]!;
    if (binary) binaries.push(encodeBinaryData(tensor));
    else jsonElements += tensor.data.length;
  }
  if (binaries.length > 0 && jsonElements > MIXED_JSON_ELEMENTS) {
    throw new HttpError(
      400,
      `${jsonElements} elements as JSON beside binary outputs are more than ${MIXED_JSON_ELEMENTS}; ask for all outputs as binary data`,
    );
  }
  const json = responseJson(head, inference, results, binaries);
  if (binaries.length > 0) sendBinary(res, [...json].join(''), binaries);
  else if (jsonElements <= STREAM_ABOVE_ELEMENTS) sendText(res, [...json].join(''));
  else await streamText(res, json, signal);
  if (!res.writableFinished) await event(res, 'finish', signal);
}

/** The response object as text, in pieces; tensors of any size never exist as one string. */
function* responseJson(
  { modelName, modelVersion }: ResponseHead,
  { id, outputs }: Inference,
  results: Readonly<Record<string, TensorData>>,
  binaries: readonly Uint8Array[],
): Generator<string> {
  const head = { model_name: modelName, model_version: modelVersion, ...(id !== undefined && { id }) };
  yield `${JSON.stringify(head).slice(0, -1)},"outputs":[`;
  let nextBinary = 0;
  for (const [index, { spec, datatype, binary }] of outputs.entries()) {
    const tensor = results[spec.name]!;
    const size = binary ? binaries[nextBinary++]!.length : undefined;
    const description = {
      name: spec.name,
      datatype,
      shape: tensor.dims,
      ...(size !== undefined && { parameters: { binary_data_size: size } }),
    };
    yield (index === 0 ? '' : ',') + JSON.stringify(description).slice(0, -1);
    if (!binary) {
      yield ',"data":';
      yield* encodeJsonData(tensor);
    }
    yield '}';
  }
  yield ']}';
}

function sendText(res: Response, text: string): void {
  res.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  res.end(text);
}

function sendBinary(res: Response, text: string, binaries: readonly Uint8Array[]): void {
  const header = Buffer.from(text, 'utf8');
  const length = binaries.reduce((sum, bytes) => sum + bytes.length, header.length);
  res.writeHead(200, {
    'Content-Type': 'application/octet-stream',
    'Inference-Header-Content-Length': header.length,
    'Content-Length': length,
  });
  // Corked, the parts leave in one writev without being joined first.
  res.cork();
  res.write(header);
  for (const bytes of binaries) res.write(bytes);
  res.end();
  process.nextTick(() => res.uncork());
}

async function streamText(res: Response, pieces: Generator<string>, signal: AbortSignal): Promise<void> {
  res.writeHead(200, { 'Content-Type': 'application/json' });
  for (const piece of pieces) {
    signal.throwIfAborted();
    if (res.write(piece)) await nextTurn();
    else await event(res, 'drain', signal);
  }
  res.end();
}

async function event(res: Response, name: 'drain' | 'finish', signal: AbortSignal): Promise<void> {
  try {
    await once(res, name, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
