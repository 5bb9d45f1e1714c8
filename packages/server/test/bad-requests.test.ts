import { beforeAll, describe, expect, it } from 'vitest';
import type { OrtDoraServer } from '../src/index.js';
import { binaryBody, infer, type RawRequest, SAMPLES, send, start } from './support/server.js';

let server: OrtDoraServer;
let samples: OrtDoraServer;
beforeAll(async () => {
  server = await start({ maxBodyBytes: 65_536, maxJsonBytes: 16_384 });
  samples = await start({ models: `${SAMPLES}/m10b_smolvlm_dynamo_mixed` });
});

const x = { name: 'x', shape: [1, 3], datatype: 'FP32', data: [1, 2, 3] };
const length = (value: string) => ({ 'Inference-Header-Content-Length': value });
const binaryX = (size: unknown) => ({
  name: 'x',
  shape: [1, 3],
  datatype: 'FP32',
  parameters: { binary_data_size: size },
});

interface Case {
  readonly body: unknown;
  readonly model?: string;
  readonly options?: RawRequest;
  readonly status?: number;
  readonly message: string;
}

const withBinary = (request: unknown, bytes: number): Pick<Case, 'body' | 'options'> => {
  const { body, headers } = binaryBody(request, Buffer.alloc(bytes));
  return { body, options: { headers } };
};

const CASES: Record<string, Case> = {
  'an empty body': { body: '', message: 'the body is not valid JSON' },
  'broken JSON': { body: '{"inputs": [', message: 'the body is not valid JSON' },
  'broken JSON with a NaN': {
    body: '{"inputs": [NaN',
    message: 'the body is not valid JSON: "," or "]" expected at position 15',
  },
  'an array': { body: [], message: 'request: Invalid input: expected object, received array' },
  'a string': { body: '"inputs"', message: 'request: Invalid input: expected object, received string' },
  null: { body: 'null', message: 'request: Invalid input: expected object, received null' },
  'no inputs': { body: {}, message: 'inputs: Invalid input: expected array, received undefined' },
  'inputs as an object': { body: { inputs: {} }, message: 'inputs: Invalid input: expected array, received object' },
  'an input that is none': {
    body: { inputs: [1] },
    message: 'inputs[0]: Invalid input: expected object, received number',
  },
  'bytes that are not UTF-8': { body: Buffer.from([0x22, 0xff, 0x22]), message: 'not valid UTF-8' },
  'JSON nested too deep': { body: `{"inputs":${'['.repeat(5000)}NaN`, message: 'more than 128 levels deep' },
  'a missing input': { body: { inputs: [] }, message: 'input "x" is missing; expected FP32 [rows, 3]' },
  'an unknown input': {
    body: { inputs: [x, { ...x, name: 'z' }] },
    message: `unknown input "z"; the model's inputs are "x"`,
  },
  'an input twice': { body: { inputs: [x, x] }, message: 'input "x" is given twice' },
  'an input without a name': {
    body: { inputs: [{ ...x, name: undefined }] },
    message: 'inputs[0].name: Invalid input: expected string',
  },
  'an input named __proto__': {
    body: '{"inputs":[{"name":"__proto__","shape":[],"datatype":"FP32","data":[1]}]}',
    message: 'unknown input "__proto__"',
  },
  'no shape': {
    body: { inputs: [{ ...x, shape: undefined }] },
    message: 'inputs[0].shape: Invalid input: expected array',
  },
  'a shape of strings': {
    body: { inputs: [{ ...x, shape: ['1', 3] }] },
    message: 'inputs[0].shape[0]: Invalid input: expected number, received string',
  },
  'a fractional dimension': {
    body: { inputs: [{ ...x, shape: [1.5, 3] }] },
    message: 'inputs[0].shape[0]: Invalid input: expected int',
  },
  'a negative dimension': {
    body: { inputs: [{ ...x, shape: [-1, 3] }] },
    message: 'inputs[0].shape[0]: Too small: expected number to be >=0',
  },
  'a dimension beyond 2^53': {
    body: '{"inputs":[{"name":"x","shape":[9007199254740993,3],"datatype":"FP32","data":[]}]}',
    message: 'inputs[0].shape[0]: Too big',
  },
  'a shape too large': {
    body: { inputs: [{ ...x, shape: [2 ** 40, 3] }] },
    message: 'input "x": shape [1099511627776, 3] is too large',
  },
  'a wrong rank': {
    body: { inputs: [{ ...x, shape: [3] }] },
    message: 'input "x": expected rank 2 [rows, 3], got rank 1 [3]',
  },
  'a rank of 65': { body: { inputs: [{ ...x, shape: new Array(65).fill(1) }] }, message: 'inputs[0].shape: Too big' },
  'a wrong fixed dimension': {
    body: { inputs: [{ ...x, shape: [1, 4] }] },
    message: 'input "x": expected shape [rows, 3], got [1, 4] (axis 1)',
  },
  'an unknown datatype': {
    body: { inputs: [{ ...x, datatype: 'FLOAT' }] },
    message: 'inputs[0].datatype: Invalid option',
  },
  'a wrong datatype': {
    body: { inputs: [{ ...x, datatype: 'FP64' }] },
    message: 'input "x": expected datatype FP32, got FP64',
  },
  'too little data': {
    body: { inputs: [{ ...x, shape: [2, 3] }] },
    message: 'input "x": shape [2, 3] has 6 elements, "data" has 3',
  },
  'too much data': { body: { inputs: [{ ...x, data: [1, 2, 3, 4] }] }, message: 'has 3 elements, "data" has 4' },
  'ragged data': {
    body: {
      inputs: [
        {
          ...x,
          shape: [2, 3],
          data: [
            [1, 2, 3],
            [4, 5],
          ],
        },
      ],
    },
    message: 'expected 3 elements along axis 1',
  },
  'a string among floats': {
    body: { inputs: [{ ...x, data: [1, '2', 3] }] },
    message: 'input "x": element 1: expected a number in the range of FP32',
  },
  'null among floats': {
    body: { inputs: [{ ...x, data: [1, null, 3] }] },
    message: 'element 1: expected a number in the range of FP32, "NaN", "Infinity" or "-Infinity", got null',
  },
  'a float beyond FP32': {
    body: { inputs: [{ ...x, data: [1, 1e39, 3] }] },
    message: 'element 1: expected a number in the range of FP32',
  },
  'no data': {
    body: { inputs: [{ ...x, data: undefined }] },
    message: 'expected "data" as an array of 3 elements, got none',
  },
  'a BOOL of 1': {
    model: 'identity.bool',
    body: { inputs: [{ ...x, datatype: 'BOOL', data: [true, 1, false] }] },
    message: 'element 1: expected true or false, got 1',
  },
  'a fraction for INT32': {
    model: 'identity.int32',
    body: { inputs: [{ ...x, datatype: 'INT32', data: [1, 2.5, 3] }] },
    message: 'element 1: expected an integer',
  },
  'UINT8 of 256': {
    model: 'identity.uint8',
    body: { inputs: [{ ...x, datatype: 'UINT8', data: [1, 256, 3] }] },
    message: 'from 0 to 255, got 256',
  },
  'INT64 overflow': {
    model: 'identity.int64',
    body: '{"inputs":[{"name":"x","shape":[1,3],"datatype":"INT64","data":[1,9223372036854775808,3]}]}',
    message: 'element 1: expected an integer from -9223372036854775808 to 9223372036854775807, got 9223372036854775808',
  },
  'a bare NaN among strings': {
    model: 'identity.bytes',
    body: '{"inputs":[{"name":"x","shape":[1,3],"datatype":"BYTES","data":["a",NaN,"b"]}]}',
    message: 'element 1: expected a string',
  },
  'FP16 as JSON': {
    model: 'identity.fp16',
    body: { inputs: [{ ...x, datatype: 'FP16' }] },
    message: 'FP16 cannot be sent as JSON; send it as binary data',
  },
  'BF16 as JSON': {
    model: 'identity.bf16',
    body: { inputs: [{ ...x, datatype: 'BF16' }] },
    message: 'BF16 cannot be sent as JSON',
  },
  'an FP16 output as JSON': {
    model: 'identity.fp16',
    ...withBinary({ inputs: [{ ...binaryX(6), datatype: 'FP16' }] }, 6),
    message: 'output "y" is FP16, which cannot be returned as JSON; ask for binary data',
  },
  'an unknown output': {
    body: { inputs: [x], outputs: [{ name: 'z' }] },
    message: `unknown output "z"; the model's outputs are "y"`,
  },
  'an output twice': {
    body: { inputs: [x], outputs: [{ name: 'y' }, { name: 'y' }] },
    message: 'output "y" is requested twice',
  },
  'an id that is a number': {
    body: { id: 1, inputs: [x] },
    message: 'id: Invalid input: expected string, received number',
  },
  'parameters as an array': { body: { parameters: [1], inputs: [x] }, message: 'parameters: Invalid input' },
  'a parameter that is an object': {
    body: { parameters: { a: {} }, inputs: [x] },
    message: 'parameters.a: Invalid input',
  },
  'binary_data_output as a number': {
    body: { parameters: { binary_data_output: 1 }, inputs: [x] },
    message: 'parameters.binary_data_output: Invalid input: expected boolean',
  },
  'a timeout of 0': { body: { parameters: { timeout: 0 }, inputs: [x] }, message: 'parameters.timeout: Too small' },
  'a sequence': {
    body: { parameters: { sequence_id: 5 }, inputs: [x] },
    message: 'parameters.sequence_id: the sequence extension is not supported',
  },
  'shared memory': {
    body: { inputs: [{ ...x, parameters: { shared_memory_region: 'r' } }] },
    message: 'inputs[0].parameters.shared_memory_region: shared memory is not supported',
  },
  classification: {
    body: { inputs: [x], outputs: [{ name: 'y', parameters: { classification: 3 } }] },
    message: 'classification extension is not supported',
  },
  'an index that the model cannot take': {
    model: 'gather',
    body: { inputs: [{ name: 'ids', shape: [1], datatype: 'INT64', data: [99] }] },
    message:
      'the model cannot run on these inputs: model.onnx: Non-zero status code returned while running Gather node',
  },
  'an output that no memory holds': {
    model: 'zeros',
    body: { inputs: [{ name: 'shape', shape: [1], datatype: 'INT64', data: [1e14] }] },
    status: 503,
    message: 'not enough memory for a run of this size',
  },
  'binary data without the header': {
    body: { inputs: [binaryX(12)] },
    message: 'is 12, but 0 bytes are left in the body (is Inference-Header-Content-Length set?)',
  },
  'a header that is no number': {
    body: '{}',
    options: { headers: length('1e3') },
    message: 'Inference-Header-Content-Length: expected a number of bytes, got "1e3"',
  },
  'a negative header': {
    body: '{}',
    options: { headers: length('-1') },
    message: 'expected a number of bytes, got "-1"',
  },
  'a header beyond the body': {
    body: '{}',
    options: { headers: length('9999') },
    message: 'Inference-Header-Content-Length is 9999, the body has only 2 bytes',
  },
  'a header that cuts the JSON': {
    body: '{"inputs":[]}',
    options: { headers: length('5') },
    message: 'not valid JSON',
  },
  'less binary data than announced': {
    ...withBinary({ inputs: [binaryX(12)] }, 8),
    message: 'binary_data_size is 12, but 8 bytes are left',
  },
  'more binary data than announced': {
    ...withBinary({ inputs: [binaryX(12)] }, 20),
    message: `20 bytes follow the JSON object, the inputs' binary_data_size add up to 12`,
  },
  'binary data of another size than the shape': {
    ...withBinary({ inputs: [binaryX(8)] }, 8),
    message: 'input "x": 3 elements of FP32 take 12 bytes, binary_data_size is 8',
  },
  'a negative binary_data_size': {
    ...withBinary({ inputs: [binaryX(-1)] }, 8),
    message: 'inputs[0].parameters.binary_data_size: Too small',
  },
  'a fractional binary_data_size': {
    ...withBinary({ inputs: [binaryX(1.5)] }, 8),
    message: 'inputs[0].parameters.binary_data_size: Invalid input: expected int',
  },
  'data and binary data': {
    ...withBinary({ inputs: [{ ...x, ...binaryX(12), data: [1, 2, 3] }] }, 12),
    message: 'has both "data" and binary_data_size; give one',
  },
  'a binary BOOL of 0xff': {
    model: 'identity.bool',
    ...(() => {
      const { body, headers } = binaryBody({ inputs: [{ ...binaryX(3), datatype: 'BOOL' }] }, Buffer.from([1, 255, 0]));
      return { body, options: { headers } };
    })(),
    message: 'BOOL elements are the bytes 0 and 1, got 255',
  },
  'binary BYTES that lie about a length': {
    model: 'identity.bytes',
    ...(() => {
      const { body, headers } = binaryBody({ inputs: [{ ...binaryX(12), datatype: 'BYTES' }] }, Buffer.alloc(12, 0x7f));
      return { body, options: { headers } };
    })(),
    message: 'element 0 of 3 reaches beyond the 12 bytes',
  },
  'an unknown model': {
    model: 'nope',
    body: { inputs: [x] },
    status: 404,
    message: 'unknown model "nope"; this server has "gather"',
  },
  'a model of another case': { model: 'Gather', body: { inputs: [x] }, status: 404, message: 'unknown model "Gather"' },
  'an unknown version': {
    model: 'gather/versions/2',
    body: { inputs: [x] },
    status: 404,
    message: 'model "gather" has no version "2"; its only version is "1"',
  },
  'a model outside the folder': {
    model: '..%2f..%2fsamples%2fmodel',
    body: { inputs: [x] },
    status: 404,
    message: 'unknown model "../../samples/model"',
  },
  'a model name with a NUL': { model: 'a%00b', body: { inputs: [x] }, status: 404, message: 'unknown model' },
  'a path that does not decode': {
    model: '%ff',
    body: { inputs: [x] },
    status: 400,
    message: 'the request line cannot be decoded',
  },
  'a JSON part beyond the limit': {
    body: { inputs: [x], id: 'x'.repeat(20_000) },
    status: 413,
    message: 'the limit is 16384 (server option maxJsonBytes); send large tensors as binary data',
  },
  'a body beyond the limit': {
    body: 'x'.repeat(70_000),
    status: 413,
    message: 'the request body is larger than 65536 bytes',
  },
  'a chunked body beyond the limit': {
    body: 'x'.repeat(70_000),
    options: { headers: { 'Transfer-Encoding': 'chunked' } },
    status: 413,
    message: 'larger than 65536 bytes',
  },
  'an unknown encoding': {
    body: '{}',
    options: { headers: { 'Content-Encoding': 'br' } },
    status: 415,
    message: 'content encoding "br" is not supported; use identity, gzip or deflate',
  },
  'gzip that is none': {
    body: '{}',
    options: { headers: { 'Content-Encoding': 'gzip' } },
    message: 'the body cannot be read: incorrect header check',
  },
};

describe('a bad request is refused by name', () => {
  it.each(Object.entries(CASES))(
    '%s',
    async (_what, { body, model = 'identity.fp32', options, status = 400, message }) => {
      const answer = await infer(server.url, model, body, options);
      expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
      const { error } = answer.json() as { error: string };
      expect([answer.status, error]).toEqual([status, expect.stringContaining(message)]);
      expect(error.length).toBeLessThan(2000);
    },
  );

  it('two inputs that disagree on a symbolic length', async () => {
    const llama = await start({ models: `${SAMPLES}/m13_llama_kvcache_dynamo` });
    const ids = (name: string, batch: number) => ({
      name,
      shape: [batch, 1],
      datatype: 'INT64',
      data: new Array(batch).fill(1),
    });
    const past = [0, 1].flatMap((layer) =>
      ['key', 'value'].map((kind) => ({
        name: `past_key_values.${layer}.${kind}`,
        shape: [1, 2, 0, 24],
        datatype: 'FP32',
        data: [],
      })),
    );
    const answer = await infer(llama.url, 'm13_llama_kvcache_dynamo', {
      inputs: [ids('input_ids', 1), ids('attention_mask', 2), ids('position_ids', 1), ...past],
    });
    expect([answer.status, (answer.json() as { error: string }).error]).toEqual([
      400,
      expect.stringContaining('attention_mask'),
    ]);
  });

  it('a zip bomb, before it is unpacked', async () => {
    const { gzipSync } = await import('node:zlib');
    const bomb = gzipSync(Buffer.alloc(50_000_000));
    const before = process.memoryUsage().arrayBuffers;
    const answer = await infer(server.url, 'identity.fp32', bomb, { headers: { 'Content-Encoding': 'gzip' } });
    expect(answer.status).toBe(413);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000);
  });

  it('a half-precision model asked in JSON is told how to ask', async () => {
    const pixels = { name: 'pixel_values', shape: [1, 3, 16, 16], datatype: 'FP16', data: new Array(768).fill(0) };
    const answer = await infer(samples.url, 'm10b_smolvlm_dynamo_mixed', { inputs: [pixels] });
    expect([answer.status, answer.json()]).toEqual([
      400,
      { error: 'input "pixel_values": FP16 cannot be sent as JSON; send it as binary data (binary_data_size)' },
    ]);
  });

  it('other routes', async () => {
    expect((await send(server.url, '/v3')).json()).toEqual({ error: 'no route GET /v3; GET / lists the endpoints' });
    expect((await send(server.url, '/v2/models/gather/infer')).status).toBe(404);
    const index = await send(server.url, '/v2/repository/index', { method: 'POST', body: '{"ready":"yes"}' });
    expect([index.status, index.json()]).toEqual([
      400,
      { error: 'expected an empty body or a JSON object such as {"ready": true}' },
    ]);
  });
});
