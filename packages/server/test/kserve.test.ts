import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createSession, type TensorData } from '@ort-dora/runtime';
import supertest from 'supertest';
import { beforeAll, describe, expect, it } from 'vitest';
import type { OrtDoraServer } from '../src/index.js';
import { binaryBody, type InferenceAnswer, infer, SAMPLES, send, splitBinary, start } from './support/server.js';

let fixtures: OrtDoraServer;
let samples: OrtDoraServer;
beforeAll(async () => {
  fixtures = await start();
  samples = await start({ models: SAMPLES, allowFailedModels: true });
});

describe('metadata', () => {
  it('describes the server', async () => {
    const { body } = await supertest(fixtures.url).get('/v2').expect(200);
    expect(body).toEqual({
      name: 'ort-dora',
      version: '0.1.0',
      extensions: ['binary_tensor_data', 'model_repository'],
    });
  });

  it('answers the health routes', async () => {
    await supertest(fixtures.url).get('/v2/health/live').expect(200, { live: true });
    await supertest(fixtures.url).get('/v2/health/ready').expect(200, { ready: true });
    await supertest(fixtures.url).get('/v2/models/gather/ready').expect(200, { name: 'gather', ready: true });
    await supertest(fixtures.url).get('/v2/models/gather/versions/1/ready').expect(200);
  });

  it('describes a model', async () => {
    const expected = {
      name: 'm10b_smolvlm_dynamo_mixed',
      versions: ['1'],
      platform: 'onnxruntime_onnx',
      inputs: [
        { name: 'pixel_values', datatype: 'FP16', shape: [1, 3, 16, 16] },
        { name: 'input_ids', datatype: 'INT64', shape: [1, 11] },
      ],
      outputs: [{ name: 'logits', datatype: 'FP16', shape: [1, 11, 96] }],
      backend: 'addon',
    };
    await supertest(samples.url).get('/v2/models/m10b_smolvlm_dynamo_mixed').expect(200, expected);
    await supertest(samples.url).get('/v2/models/m10b_smolvlm_dynamo_mixed/versions/1').expect(200, expected);
    const { body } = await supertest(samples.url).get('/v2/models/c05_linear_bias_dynamo_640');
    expect(body.inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [-1, -1, 640] }]);
  });

  it('lists the models, those that could not be loaded too, and tells no paths', async () => {
    const all = await supertest(samples.url).post('/v2/repository/index').expect(200);
    expect(all.body).toContainEqual({ name: 'c05_linear_bias_dynamo_640', version: '1', state: 'READY', reason: '' });
    const failed = all.body.filter(({ state }: { state: string }) => state === 'UNAVAILABLE');
    expect(failed.map(({ name }: { name: string }) => name)).toEqual(['t7_external_traversal', 't7_truncated']);
    expect(all.text).not.toContain('/');
    const ready = await supertest(samples.url).post('/v2/repository/index').send({ ready: true }).expect(200);
    expect(ready.body).toHaveLength(all.body.length - 2);
    await supertest(samples.url)
      .get('/v2/models/t7_truncated')
      .expect(503, { error: 'model "t7_truncated" is not available; the server log says why' });
    await supertest(samples.url)
      .get('/v2/models/t7_truncated/ready')
      .expect(503, { name: 't7_truncated', ready: false });
  });
});

/** What the runtime itself gives for the same inputs. */
async function reference(sample: string, feeds: Record<string, TensorData>): Promise<Record<string, TensorData>> {
  const session = await createSession(join(SAMPLES, sample, 'model.onnx'));
  try {
    return await session.run(feeds);
  } finally {
    await session.dispose();
  }
}

const ramp = (count: number) => Float32Array.from({ length: count }, (_, index) => Math.sin(index));

describe('inference of real exports', () => {
  it('c05: float32 as JSON, the same as from the runtime', async () => {
    const x = ramp(2 * 3 * 640);
    const { y } = await reference('c05_linear_bias_dynamo_640', { x: { type: 'float32', data: x, dims: [2, 3, 640] } });
    const request = { id: 'q-7', inputs: [{ name: 'x', shape: [2, 3, 640], datatype: 'FP32', data: [...x] }] };
    const answer = await infer(samples.url, 'c05_linear_bias_dynamo_640', request);
    expect(answer.json()).toEqual({
      model_name: 'c05_linear_bias_dynamo_640',
      model_version: '1',
      id: 'q-7',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [2, 3, 64], data: [...(y!.data as Float32Array)] }],
    });
  });

  it('m10b: half precision in and out as binary data', async () => {
    const pixels = Uint16Array.from({ length: 768 }, (_, index) => 0x3000 + index);
    const ids = BigInt64Array.from({ length: 11 }, (_, index) => BigInt(index + 1));
    const { logits } = await reference('m10b_smolvlm_dynamo_mixed', {
      pixel_values: { type: 'float16', data: pixels, dims: [1, 3, 16, 16] },
      input_ids: { type: 'int64', data: ids, dims: [1, 11] },
    });
    const request = {
      inputs: [
        { name: 'pixel_values', shape: [1, 3, 16, 16], datatype: 'FP16', parameters: { binary_data_size: 1536 } },
        { name: 'input_ids', shape: [1, 11], datatype: 'INT64', data: [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]] },
      ],
      parameters: { binary_data_output: true },
    };
    const { body, headers } = binaryBody(request, new Uint8Array(pixels.buffer));
    const { response, binary } = splitBinary(await infer(samples.url, 'm10b_smolvlm_dynamo_mixed', body, { headers }));
    expect(response.outputs).toEqual([
      { name: 'logits', datatype: 'FP16', shape: [1, 11, 96], parameters: { binary_data_size: 2112 } },
    ]);
    const expected = logits!.data as Uint16Array;
    expect(binary.equals(new Uint8Array(expected.buffer, expected.byteOffset, expected.byteLength))).toBe(true);
    expect(expected.some((bits) => bits !== 0)).toBe(true);
  });

  it('m13: a decoder with an empty KV cache, some of its outputs, JSON beside binary', async () => {
    const past = [0, 1].flatMap((layer) =>
      ['key', 'value'].map((kind) => ({
        name: `past_key_values.${layer}.${kind}`,
        shape: [1, 2, 0, 24],
        datatype: 'FP32',
        data: [],
      })),
    );
    const integers = (name: string, data: number[]) => ({
      name,
      shape: [1, data.length],
      datatype: 'INT64',
      data: [data],
    });
    const request = {
      inputs: [
        integers('input_ids', [3, 1, 4]),
        integers('attention_mask', [1, 1, 1]),
        integers('position_ids', [0, 1, 2]),
        ...past,
      ],
      outputs: [{ name: 'present.1.value', parameters: { binary_data: true } }, { name: 'logits' }],
    };
    const { response, binary } = splitBinary(await infer(samples.url, 'm13_llama_kvcache_dynamo', request));
    const feeds = Object.fromEntries(
      request.inputs.map(({ name, shape, datatype, data }): [string, TensorData] => [
        name,
        datatype === 'INT64'
          ? { type: 'int64', data: BigInt64Array.from((data as number[][]).flat().map(BigInt)), dims: shape }
          : { type: 'float32', data: new Float32Array(0), dims: shape },
      ]),
    );
    const expected = await reference('m13_llama_kvcache_dynamo', feeds);
    expect(response.outputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['present.1.value', [1, 2, 3, 24]],
      ['logits', [1, 3, 96]],
    ]);
    expect(response.outputs[1]!.data).toEqual([...(expected.logits!.data as Float32Array)]);
    const value = expected['present.1.value']!.data as Float32Array;
    expect(binary.equals(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))).toBe(true);
  });
});

describe('datatypes', () => {
  it.each<[string, string, string]>([
    ['bool', 'BOOL', '[true,false,true]'],
    ['int8', 'INT8', '[-128,0,127]'],
    ['int16', 'INT16', '[-32768,0,32767]'],
    ['int32', 'INT32', '[-2147483648,0,2147483647]'],
    ['int64', 'INT64', '[-9223372036854775808,9007199254740993,9223372036854775807]'],
    ['uint8', 'UINT8', '[0,1,255]'],
    ['uint16', 'UINT16', '[0,1,65535]'],
    ['uint32', 'UINT32', '[0,1,4294967295]'],
    ['uint64', 'UINT64', '[0,9007199254740993,18446744073709551615]'],
    ['fp32', 'FP32', '[0.5,"NaN",-0.0]'],
    ['fp64', 'FP64', '[0.1,"Infinity","-Infinity"]'],
    ['bytes', 'BYTES', '["","é","a\\"b"]'],
  ])('%s comes back from JSON as it went in', async (model, datatype, data) => {
    const answer = await infer(
      fixtures.url,
      `identity.${model}`,
      `{"inputs":[{"name":"x","shape":[1,3],"datatype":"${datatype}","data":${data}}]}`,
    );
    expect(answer.body.toString()).toBe(
      `{"model_name":"identity.${model}","model_version":"1","outputs":[{"name":"y","datatype":"${datatype}","shape":[1,3],"data":${data}}]}`,
    );
  });

  it.each<[string, string, number]>([
    ['bool', 'BOOL', 1],
    ['int8', 'INT8', 1],
    ['int16', 'INT16', 2],
    ['int32', 'INT32', 4],
    ['int64', 'INT64', 8],
    ['uint8', 'UINT8', 1],
    ['uint16', 'UINT16', 2],
    ['uint32', 'UINT32', 4],
    ['uint64', 'UINT64', 8],
    ['fp16', 'FP16', 2],
    ['bf16', 'BF16', 2],
    ['fp32', 'FP32', 4],
    ['fp64', 'FP64', 8],
  ])('%s comes back from binary data bit by bit', async (model, datatype, size) => {
    const data = Buffer.from(
      Array.from({ length: 6 * size }, (_, index) => (datatype === 'BOOL' ? index % 2 : (index * 37 + 1) % 256)),
    );
    const input = { name: 'x', shape: [2, 3], datatype, parameters: { binary_data_size: data.length } };
    const { body, headers } = binaryBody(
      { inputs: [input], outputs: [{ name: 'y', parameters: { binary_data: true } }] },
      data,
    );
    const answer = await infer(fixtures.url, `identity.${model}`, body, { headers });
    expect(answer.headers['content-type']).toBe('application/octet-stream');
    expect(splitBinary(answer).binary.equals(data)).toBe(true);
  });

  it('BYTES come back from binary data', async () => {
    const data = Buffer.from('\x01\0\0\0a\0\0\0\0\x02\0\0\0\xc3\xa9', 'latin1');
    const input = { name: 'x', shape: [1, 3], datatype: 'BYTES', parameters: { binary_data_size: data.length } };
    const { body, headers } = binaryBody({ inputs: [input] }, data);
    expect((await infer(fixtures.url, 'identity.bytes', body, { headers })).json()).toMatchObject({
      outputs: [{ data: ['a', '', 'é'] }],
    });
    const again = binaryBody({ inputs: [input], parameters: { binary_data_output: true } }, data);
    expect(
      splitBinary(await infer(fixtures.url, 'identity.bytes', again.body, { headers: again.headers })).binary.equals(
        data,
      ),
    ).toBe(true);
  });

  it('bare NaN and Infinity, as Python and Triton write them, are read', async () => {
    const text = '{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[NaN,Infinity,-Infinity]}]}';
    expect((await infer(fixtures.url, 'identity.fp32', text)).json()).toMatchObject({
      outputs: [{ data: ['NaN', 'Infinity', '-Infinity'] }],
    });
  });
});

describe('requests', () => {
  const ones = { name: 'x', shape: [1, 3], datatype: 'FP32', data: [1, 1, 1] };

  it('go to a version', async () => {
    await supertest(fixtures.url)
      .post('/v2/models/identity.fp32/versions/1/infer')
      .send({ inputs: [ones] })
      .expect(200);
  });

  it('may be compressed, or chunked', async () => {
    const body = gzipSync(JSON.stringify({ inputs: [ones] }));
    expect((await infer(fixtures.url, 'identity.fp32', body, { headers: { 'Content-Encoding': 'gzip' } })).status).toBe(
      200,
    );
    expect(
      (await infer(fixtures.url, 'identity.fp32', { inputs: [ones] }, { headers: { 'Transfer-Encoding': 'chunked' } }))
        .status,
    ).toBe(200);
  });

  it('may carry parameters that mean nothing here', async () => {
    const parameters = { priority: 1, my_own: 'x' };
    expect((await infer(fixtures.url, 'identity.fp32', { inputs: [ones], parameters })).status).toBe(200);
  });

  it('name outputs; an empty list is all of them', async () => {
    expect((await infer(fixtures.url, 'identity.fp32', { inputs: [ones], outputs: [] })).json()).toMatchObject({
      outputs: [{ name: 'y' }],
    });
  });

  it('an output asked for as JSON stays JSON beside binary_data_output', async () => {
    const request = {
      inputs: [ones],
      parameters: { binary_data_output: true },
      outputs: [{ name: 'y', parameters: { binary_data: false } }],
    };
    expect((await infer(fixtures.url, 'identity.fp32', request)).json()).toMatchObject({
      outputs: [{ data: [1, 1, 1] }],
    });
  });

  it('large JSON answers are streamed whole', async () => {
    const count = 300_000;
    const answer = await infer(fixtures.url, 'zeros', {
      inputs: [{ name: 'shape', shape: [1], datatype: 'INT64', data: [count] }],
    });
    expect(answer.headers['transfer-encoding']).toBe('chunked');
    const [output] = (answer.json() as InferenceAnswer).outputs;
    expect([output!.shape, output!.data!.length]).toEqual([[count], count]);
  });

  it('many at once, each with its own answer', async () => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => {
        const input = { ...ones, data: [index, 2 * index, 3 * index] };
        return infer(fixtures.url, 'identity.fp32', { id: `${index}`, inputs: [input] });
      }),
    );
    answers.forEach((answer, index) => {
      expect(answer.json()).toMatchObject({ id: `${index}`, outputs: [{ data: [index, 2 * index, 3 * index] }] });
    });
  });

  it('a connection is kept for the next request after a refused one', async () => {
    const agent = supertest.agent(fixtures.url);
    await agent.post('/v2/models/identity.fp32/infer').send({ inputs: [] }).expect(400);
    await agent
      .post('/v2/models/identity.fp32/infer')
      .send({ inputs: [ones] })
      .expect(200);
  });

  it('curl lines of the examples work', async () => {
    for (const { model, curl } of samples.examples()) {
      const { execFile } = await import('node:child_process');
      const { promisify } = await import('node:util');
      const { stdout } = await promisify(execFile)('sh', ['-c', curl], { encoding: 'latin1' });
      expect(stdout).toContain(`{"model_name":"${model}","model_version":"1","outputs":[{"name":"`);
    }
    expect(samples.examples().length).toBeGreaterThanOrEqual(9);
  });

  it('HEAD and unknown methods are told apart from GET', async () => {
    expect((await send(fixtures.url, '/v2', { method: 'HEAD' })).body.length).toBe(0);
    expect((await send(fixtures.url, '/v2', { method: 'DELETE' })).status).toBe(404);
  });
});
