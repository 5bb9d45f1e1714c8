import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { infer, send, start } from './support/server.js';

// The runtime looks at this once a process, and vitest gives every test file its own.
beforeAll(() => {
  process.env.ORT_DORA_RUNTIME = 'onnxruntime-node';
});
afterAll(() => {
  delete process.env.ORT_DORA_RUNTIME;
});

it('serves on stock onnxruntime-node, and says so', async () => {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  const server = await start({ logger: pino(sink) });
  expect((await send(server.url, '/v2/models/gather')).json()).toMatchObject({ backend: 'onnxruntime-node' });
  expect(lines.filter((line) => line.includes('on the event loop')).map((line) => JSON.parse(line))).toContainEqual(
    expect.objectContaining({ level: 40, model: 'gather' }),
  );
  const gather = (id: number) =>
    infer(server.url, 'gather', { inputs: [{ name: 'ids', shape: [1], datatype: 'INT64', data: [id] }] });
  expect((await gather(2)).json()).toMatchObject({ outputs: [{ data: [4, 5] }] });
  expect((await gather(9)).status).toBe(400);
});
