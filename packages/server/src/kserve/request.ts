/** From the body of an inference request to the feeds of a run. Everything a client can get wrong is found here. */
import type { TensorData } from '@ort-dora/runtime';
import type { z } from 'zod';
import { HttpError } from '../errors.js';
import type { LoadedModel, TensorSpec } from '../models/model.js';
import { decodeBinaryData } from './binary-tensors.js';
import { type Datatype, datatypeOf } from './datatypes.js';
import { parseExactJson } from './exact-json.js';
import { decodeJsonData, InexactInteger } from './json-tensors.js';
import { type InferenceRequest, inferenceRequest, type RequestInput } from './schema.js';

/** Elements of one tensor, counting only its non-zero dimensions: no honest shape comes near. */
const MAX_ELEMENTS = 2 ** 31;

export interface Inference {
  readonly id: string | undefined;
  readonly feeds: Readonly<Record<string, TensorData>>;
  readonly outputs: readonly { readonly spec: TensorSpec; readonly datatype: Datatype; readonly binary: boolean }[];
}

/** The value of Inference-Header-Content-Length: the bytes of the JSON object in front of binary data. */
export function parseHeaderLength(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,10}$/.test(value)) {
    throw new HttpError(
      400,
      `Inference-Header-Content-Length: expected a number of bytes, got "${value.slice(0, 40)}"`,
    );
  }
  return Number(value);
}

export interface ParsedBody {
  readonly request: InferenceRequest;
  /** What follows the JSON object. */
  readonly binary: Uint8Array<ArrayBuffer>;
  /** The request with its 64-bit integers exact. */
  exact(): InferenceRequest;
}

/** @throws HttpError 400 or 413 */
export function parseBody(
  body: Uint8Array<ArrayBuffer>,
  headerLength: number | undefined,
  maxJsonBytes: number,
): ParsedBody {
  const jsonBytes = headerLength ?? body.length;
  if (jsonBytes > body.length) {
    throw new HttpError(400, `Inference-Header-Content-Length is ${jsonBytes}, the body has only ${body.length} bytes`);
  }
  if (jsonBytes > maxJsonBytes) {
    throw new HttpError(
      413,
      `the JSON part has ${jsonBytes} bytes, the limit is ${maxJsonBytes} (server option maxJsonBytes); send large tensors as binary data`,
    );
  }
  const text = decodeText(body.subarray(0, jsonBytes));
  return {
    request: validate(parseJson(text)),
    binary: body.subarray(jsonBytes),
    exact: () => validate(exactJson(text)),
  };
}

/** Matches a parsed request with what the model takes and gives. @throws HttpError 400 */
export function prepareInference(model: LoadedModel, body: ParsedBody): Inference {
  const { request } = body;
  return { id: request.id, feeds: decodeInputs(model, body), outputs: selectOutputs(model, request) };
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new HttpError(400, 'the JSON part of the body is not valid UTF-8');
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (/NaN|Infinity/.test(text)) return exactJson(text);
    throw malformed(error);
  }
}

function exactJson(text: string): unknown {
  try {
    return parseExactJson(text);
  } catch (error) {
    throw malformed(error);
  }
}

function malformed(error: unknown): HttpError {
  return new HttpError(400, `the body is not valid JSON: ${(error as Error).message.slice(0, 200)}`);
}

function validate(value: unknown): InferenceRequest {
  const result = inferenceRequest.safeParse(value);
  if (!result.success) throw new HttpError(400, describeIssue(result.error.issues[0]!));
  return result.data;
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${path.replace(/^\./, '') || 'request'}: ${issue.message}`;
}

function decodeInputs(model: LoadedModel, body: ParsedBody): Record<string, TensorData> {
  const feeds: Record<string, TensorData> = Object.create(null);
  let offset = 0;
  for (const [index, input] of body.request.inputs.entries()) {
    const spec = model.inputs.find(({ name }) => name === input.name);
    if (spec === undefined) {
      throw new HttpError(400, `unknown input "${input.name}"; the model's inputs are ${names(model.inputs)}`);
    }
    if (feeds[input.name] !== undefined) throw new HttpError(400, `input "${input.name}" is given twice`);
    const count = checkInput(spec, input);
    const size = input.parameters?.binary_data_size;
    const data =
      size === undefined
        ? decodeJsonInput(input, index, count, body)
        : decodeBinaryData(label(input), input.datatype, spec.type, count, takeBinary(body, input, offset, size));
    offset += size ?? 0;
    feeds[input.name] = { type: spec.type, data, dims: input.shape };
  }
  if (offset !== body.binary.length) {
    throw new HttpError(
      400,
      `${body.binary.length} bytes follow the JSON object, the inputs' binary_data_size add up to ${offset}`,
    );
  }
  const missing = model.inputs.find(({ name }) => feeds[name] === undefined);
  if (missing !== undefined) {
    throw new HttpError(
      400,
      `input "${missing.name}" is missing; expected ${datatypeOf(missing.type)} ${shapeText(missing)}`,
    );
  }
  return feeds;
}

/** Datatype, rank, fixed lengths and size. Returns the number of elements. */
function checkInput(spec: TensorSpec, { datatype, shape }: RequestInput): number {
  const what = label(spec);
  const expected = datatypeOf(spec.type);
  if (datatype !== expected) throw new HttpError(400, `${what}: expected datatype ${expected}, got ${datatype}`);
  if (shape.length !== spec.shape.length) {
    throw new HttpError(
      400,
      `${what}: expected rank ${spec.shape.length} ${shapeText(spec)}, got rank ${shape.length} [${shape.join(', ')}]`,
    );
  }
  for (const [axis, length] of spec.shape.entries()) {
    if (typeof length === 'number' && length >= 0 && length !== shape[axis]) {
      throw new HttpError(400, `${what}: expected shape ${shapeText(spec)}, got [${shape.join(', ')}] (axis ${axis})`);
    }
  }
  const extent = shape.reduce((product, length) => product * Math.max(1, length), 1);
  if (extent > MAX_ELEMENTS) throw new HttpError(400, `${what}: shape [${shape.join(', ')}] is too large`);
  return shape.includes(0) ? 0 : extent;
}

function decodeJsonInput(input: RequestInput, index: number, count: number, body: ParsedBody): TensorData['data'] {
  const decode = (data: unknown) => decodeJsonData(label(input), input.datatype, input.shape, count, data);
  try {
    return decode(input.data);
  } catch (error) {
    if (!(error instanceof InexactInteger)) throw error;
    return decode(body.exact().inputs[index]!.data);
  }
}

function takeBinary(body: ParsedBody, input: RequestInput, offset: number, size: number): Uint8Array<ArrayBuffer> {
  if (input.data !== undefined)
    throw new HttpError(400, `${label(input)}: has both "data" and binary_data_size; give one`);
  if (offset + size > body.binary.length) {
    throw new HttpError(
      400,
      `${label(input)}: binary_data_size is ${size}, but ${body.binary.length - offset} bytes are left in the body` +
        ' (is Inference-Header-Content-Length set?)',
    );
  }
  return body.binary.subarray(offset, offset + size);
}

function selectOutputs(model: LoadedModel, request: InferenceRequest): Inference['outputs'] {
  const byDefault = request.parameters?.binary_data_output ?? false;
  const wanted = request.outputs?.length
    ? request.outputs
    : model.outputs.map(({ name }) => ({ name, parameters: undefined }));
  const seen = new Set<string>();
  return wanted.map(({ name, parameters }) => {
    const spec = model.outputs.find((output) => output.name === name);
    if (spec === undefined)
      throw new HttpError(400, `unknown output "${name}"; the model's outputs are ${names(model.outputs)}`);
    if (seen.has(name)) throw new HttpError(400, `output "${name}" is requested twice`);
    seen.add(name);
    const binary = parameters?.binary_data ?? byDefault;
    const datatype = datatypeOf(spec.type);
    if (!binary && (datatype === 'FP16' || datatype === 'BF16')) {
      throw new HttpError(
        400,
        `output "${name}" is ${datatype}, which cannot be returned as JSON; ask for binary data` +
          ' (parameters: {"binary_data_output": true} for all outputs, {"binary_data": true} for one)',
      );
    }
    return { spec, datatype, binary };
  });
}

function label({ name }: { readonly name: string }): string {
  return `input "${name}"`;
}

function names(specs: readonly TensorSpec[]): string {
  return specs.map(({ name }) => `"${name}"`).join(', ');
}

/** As in "[batch, seq, 640]". */
function shapeText({ shape }: TensorSpec): string {
  return `[${shape.map((length) => (length === '' ? '?' : length)).join(', ')}]`;
}
