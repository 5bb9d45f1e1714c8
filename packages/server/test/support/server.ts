/** Starts servers for tests on free ports, and sends what fetch cannot. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { type OrtDoraServer, type ServerOptions, startServer } from '../../src/index.js';

export const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));
export const SAMPLES = fileURLToPath(new URL('../../../../models/fixtures/samples', import.meta.url));

const open: OrtDoraServer[] = [];

/** Closed when the test file ends. */
export async function start(options: Partial<ServerOptions> = {}): Promise<OrtDoraServer> {
  const server = await startServer({ models: FIXTURES, port: 0, logger: false, drainTimeoutMs: 5000, ...options });
  open.push(server);
  return server;
}

afterAll(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  json(): unknown;
}

export interface RawRequest {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly signal?: AbortSignal;
}

/** Like fetch, but any header can be set and the path is sent as it is. */
export async function send(
  url: string,
  path: string,
  { method = 'GET', headers, body, signal }: RawRequest = {},
): Promise<Answer> {
  const { hostname, port } = new URL(url);
  return await new Promise((resolve, reject) => {
    const request = httpRequest({
      hostname,
      port,
      path,
      method,
      agent: false,
      ...(headers && { headers }),
      ...(signal && { signal }),
    });
    request.on('error', reject).on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const all = Buffer.concat(chunks);
        const { statusCode = 0, headers } = response;
        resolve({ status: statusCode, headers, body: all, json: () => JSON.parse(all.toString('utf8')) });
      });
    });
    request.end(body);
  });
}

export function infer(url: string, model: string, body: unknown, options: RawRequest = {}): Promise<Answer> {
  const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
  return send(url, `/v2/models/${model}/infer`, { method: 'POST', body: text, ...options });
}

/** A body of the binary tensor extension and the header that goes with it. */
export function binaryBody(
  request: unknown,
  ...tensors: Uint8Array[]
): { body: Buffer; headers: Record<string, string> } {
  const header = Buffer.from(JSON.stringify(request));
  return {
    body: Buffer.concat([header, ...tensors]),
    headers: { 'Inference-Header-Content-Length': `${header.length}` },
  };
}

export interface InferenceAnswer {
  readonly model_name: string;
  readonly model_version: string;
  readonly id?: string;
  readonly outputs: readonly {
    readonly name: string;
    readonly datatype: string;
    readonly shape: readonly number[];
    readonly data?: readonly unknown[];
    readonly parameters?: { readonly binary_data_size: number };
  }[];
}

/** The JSON object and the bytes behind it. */
export function splitBinary({ headers, body }: Answer): { response: InferenceAnswer; binary: Buffer } {
  const length = Number(headers['inference-header-content-length']);
  return { response: JSON.parse(body.subarray(0, length).toString('utf8')), binary: body.subarray(length) };
}

export const slowRun = (steps: number) => ({
  inputs: [{ name: 'steps', shape: [1], datatype: 'INT64', data: [steps] }],
});

export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited 10 s for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The value of a metric's line, 0 where it has none yet. */
export async function metric(url: string, line: string): Promise<number> {
  const text = (await send(url, '/metrics')).body.toString('utf8');
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `));
  return found === undefined ? 0 : Number(found.slice(line.length + 1));
}
