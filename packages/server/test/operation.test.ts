import { Agent, createServer as createHttpServer, get } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServer, type OrtDoraServer, startServer } from '../src/index.js';
import { FIXTURES, infer, metric, SAMPLES, send, slowRun, start, until } from './support/server.js';

/** How many steps of the slow model take about a second on this machine. */
let stepsPerSecond: number;
beforeAll(async () => {
  const server = await start();
  await infer(server.url, 'slow', slowRun(100));
  const since = performance.now();
  await infer(server.url, 'slow', slowRun(500));
  stepsPerSecond = Math.ceil((500 * 1000) / (performance.now() - since));
});

const seconds = (count: number) => slowRun(Math.ceil(count * stepsPerSecond));

function abortable(): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

const running = (url: string) => metric(url, 'ort_dora_requests_running');
const waiting = (url: string) => metric(url, 'ort_dora_requests_waiting');
const answered = (url: string, status: number) =>
  metric(url, `ort_dora_http_requests_total{method="POST",route="/v2/models/:model/infer",status="${status}"}`);

describe('while a model computes', () => {
  // Other processes take the cores at times, so a rare late answer is allowed; a blocked event loop is late for all of the run.
  it('/livez answers within 50 ms', { retry: 2 }, async () => {
    const server = await start();
    const agent = new Agent({ keepAlive: true });
    const probe = async () => {
      const since = performance.now();
      await new Promise<void>((resolve, reject) => {
        get(`${server.url}/livez`, { agent }, (response) => response.resume().on('end', resolve)).on('error', reject);
      });
      return performance.now() - since;
    };
    await probe();
    let done = false;
    const run = infer(server.url, 'slow', seconds(1.5)).finally(() => {
      done = true;
    });
    await until(async () => (await running(server.url)) === 1, 'the run');
    const times: number[] = [];
    while (!done) {
      times.push(await probe());
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    agent.destroy();
    expect((await run).status).toBe(200);
    expect(times.length).toBeGreaterThan(20);
    times.sort((a, b) => a - b);
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(50);
    expect(times.at(-1)).toBeLessThan(500);
  });

  it('so many run, so many wait, the next is told to come back', async () => {
    const server = await start({ maxConcurrentRuns: 1, maxQueuedRuns: 2 });
    const { signal, abort } = abortable();
    const runs = [1, 2, 3].map(() =>
      infer(server.url, 'slow', seconds(60), { signal }).catch((error: Error) => error.name),
    );
    await until(
      async () => (await running(server.url)) === 1 && (await waiting(server.url)) === 2,
      'one running, two waiting',
    );
    const refused = await infer(server.url, 'slow', slowRun(1));
    expect([refused.status, refused.headers['retry-after'], refused.json()]).toEqual([
      429,
      '1',
      { error: 'the queue is full (1 running, 2 waiting); try again later' },
    ]);
    abort();
    expect(await Promise.all(runs)).toEqual(['AbortError', 'AbortError', 'AbortError']);
    expect(await answered(server.url, 429)).toBe(1);
  });

  it('those that wait get their turn, and the waiting is measured', async () => {
    const server = await start({ maxConcurrentRuns: 1 });
    const runs = await Promise.all([1, 2, 3].map(() => infer(server.url, 'slow', seconds(0.3))));
    expect(runs.map(({ status }) => status)).toEqual([200, 200, 200]);
    const count = (name: string) => metric(server.url, `${name}_count{model="slow"}`);
    const sum = (name: string) => metric(server.url, `${name}_sum{model="slow"}`);
    expect([await count('ort_dora_queue_seconds'), await count('ort_dora_inference_seconds')]).toEqual([3, 3]);
    // The second waits for one run, the third for two.
    expect(await sum('ort_dora_queue_seconds')).toBeGreaterThan(0.5 * (await sum('ort_dora_inference_seconds')));
    expect(await answered(server.url, 200)).toBe(3);
  });

  it('a client that goes away ends its run, and one that waits its wait', async () => {
    const server = await start({ maxConcurrentRuns: 1 });
    const [first, second] = [new AbortController(), new AbortController()];
    const aborted = [first, second].map(({ signal }) =>
      infer(server.url, 'slow', seconds(60), { signal }).catch((error: Error) => error.name),
    );
    await until(
      async () => (await running(server.url)) === 1 && (await waiting(server.url)) === 1,
      'one running, one waiting',
    );
    second.abort();
    await until(async () => (await waiting(server.url)) === 0, 'the waiting one to leave');
    first.abort();
    await until(async () => (await running(server.url)) === 0, 'the run to end');
    expect(await Promise.all(aborted)).toEqual(['AbortError', 'AbortError']);
    expect(await answered(server.url, 499)).toBe(2);
    expect((await infer(server.url, 'slow', slowRun(1))).status).toBe(200);
  });

  it("a request's own timeout ends it", async () => {
    const server = await start();
    const since = performance.now();
    const answer = await infer(server.url, 'slow', { ...seconds(60), parameters: { timeout: 200_000 } });
    expect([answer.status, answer.json()]).toEqual([503, { error: "the request's timeout of 200000 µs has expired" }]);
    expect(performance.now() - since).toBeLessThan(3000);
  });
});

describe('closing', () => {
  it('drains: not ready, no new work, what runs and waits is finished', async () => {
    const server = await start({ maxConcurrentRuns: 1, drainTimeoutMs: 25_000 });
    const runs = [1, 0.1].map((duration) => infer(server.url, 'slow', seconds(duration)));
    await until(
      async () => (await running(server.url)) === 1 && (await waiting(server.url)) === 1,
      'one running, one waiting',
    );
    const closed = server.close();
    const ready = await send(server.url, '/readyz');
    expect([ready.status, ready.body.toString()]).toEqual([503, 'draining\n']);
    expect((await send(server.url, '/v2/health/ready')).json()).toEqual({ ready: false });
    expect((await send(server.url, '/v2/models/slow/ready')).status).toBe(503);
    expect((await send(server.url, '/livez')).status).toBe(200);
    const refused = await infer(server.url, 'slow', slowRun(1));
    expect([refused.status, refused.headers.connection, refused.json()]).toEqual([
      503,
      'close',
      { error: 'the server is shutting down and takes no new work' },
    ]);
    expect((await Promise.all(runs)).map(({ status }) => status)).toEqual([200, 200]);
    await closed;
    await expect(send(server.url, '/livez')).rejects.toThrow('ECONNREFUSED');
    await server.close();
  });

  it('aborts what is not done by the deadline', async () => {
    const server = await start({ drainTimeoutMs: 200 });
    const run = infer(server.url, 'slow', seconds(60));
    await until(async () => (await running(server.url)) === 1, 'the run');
    const since = performance.now();
    await server.close();
    expect(performance.now() - since).toBeLessThan(4000);
    const answer = await run;
    expect([answer.status, answer.json()]).toEqual([
      503,
      { error: 'the server has shut down before the request was done' },
    ]);
  });

  it('does not wait for idle connections', async () => {
    const server = await start();
    const idle = connect(Number(new URL(server.url).port), '127.0.0.1');
    await new Promise((resolve) => idle.once('connect', resolve));
    const since = performance.now();
    await server.close();
    expect(performance.now() - since).toBeLessThan(3000);
    idle.destroy();
  });
});

function isListening(server: OrtDoraServer): boolean {
  try {
    return server.url !== '';
  } catch {
    return false;
  }
}

describe('starting', () => {
  let taken: number;
  const blocker = createHttpServer();
  beforeAll(async () => {
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    taken = (blocker.address() as AddressInfo).port;
  });
  afterAll(() => {
    blocker.close();
  });

  it('says that a port is in use, and moves on when asked to', async () => {
    await expect(startServer({ models: FIXTURES, port: taken, logger: false })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: `port ${taken} of 127.0.0.1 is in use; choose another port`,
    });
    const server = await start({ port: { from: taken, attempts: 20 } });
    const port = Number(new URL(server.url).port);
    expect(port).toBeGreaterThan(taken);
    expect(port).toBeLessThan(taken + 20);
  });

  it('says that an address is not this machine’s', async () => {
    await expect(startServer({ models: FIXTURES, host: '203.0.113.1', port: 0, logger: false })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
    });
  });

  it('fails on a model that cannot be loaded, naming file and reason, and lets go of the port', async () => {
    const port = { from: taken + 30, attempts: 50 };
    const failing = createServer({ models: `${SAMPLES}/t7_truncated`, port, logger: false });
    await expect(failing.start()).rejects.toMatchObject({
      code: 'MODEL_FAILED',
      message: expect.stringMatching(/cannot load .*t7_truncated\/model\.onnx: .*[Pp]rotobuf/),
    });
    await expect(send(failing.url, '/livez')).rejects.toThrow('ECONNREFUSED');
  });

  it('may be closed while models load, and is closed for good', async () => {
    const server = createServer({ models: SAMPLES, port: 0, logger: false, allowFailedModels: true });
    const started = server.start().catch((error: unknown) => error);
    await until(() => isListening(server), 'the port');
    await server.close();
    expect(await started).toMatchObject({ code: 'CLOSED' });
    await expect(send(server.url, '/livez')).rejects.toThrow('ECONNREFUSED');
    await expect(server.start()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('answers probes while models load', async () => {
    const server = createServer({ models: FIXTURES, port: 0, logger: false });
    const started = server.start();
    await until(() => isListening(server), 'the port');
    const [live, ready] = await Promise.all([send(server.url, '/livez'), send(server.url, '/readyz')]);
    expect(live.status).toBe(200);
    expect([ready.status, ready.body.toString()]).toEqual([503, 'loading\n']);
    await started;
    expect((await send(server.url, '/readyz')).status).toBe(200);
    await server.close();
  });
});

describe('slow clients', () => {
  let server: OrtDoraServer;
  beforeAll(async () => {
    server = await start({ headersTimeoutMs: 300, requestTimeoutMs: 600, maxConnections: 20 });
  });

  async function talk(text: string): Promise<{ socket: Socket; ended: Promise<string> }> {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    let received = '';
    socket.on('data', (chunk) => {
      received += chunk.toString();
    });
    const ended = new Promise<string>((resolve) => socket.on('close', () => resolve(received)).on('error', () => {}));
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.write(text);
    return { socket, ended };
  }

  it('that never finish their headers are dropped', async () => {
    const { ended } = await talk('GET /livez HTTP/1.1\r\nHost: localhost\r\n');
    expect(await ended).toContain('408 Request Timeout');
  });

  it('that never finish their body are dropped and hold no place', async () => {
    const { ended } = await talk(
      'POST /v2/models/slow/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{',
    );
    await until(async () => (await waiting(server.url)) === 1, 'the request');
    expect(await ended).toContain('408 Request Timeout');
    await until(async () => (await waiting(server.url)) === 0, 'its place');
  });

  it('that hang up in the middle of a body hold no place', async () => {
    const { socket } = await talk(
      'POST /v2/models/slow/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{',
    );
    await until(async () => (await waiting(server.url)) === 1, 'the request');
    socket.destroy();
    await until(async () => (await waiting(server.url)) === 0, 'its place');
  });

  it('that do not read their answer neither keep others waiting nor stay for ever', async () => {
    const impatient = await start({ maxConcurrentRuns: 1, sendTimeoutMs: 500 });
    const body = JSON.stringify({ inputs: [{ name: 'shape', shape: [1], datatype: 'INT64', data: [20_000_000] }] });
    const socket = connect(Number(new URL(impatient.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write(
      `POST /v2/models/zeros/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await until(
      async () => (await metric(impatient.url, 'ort_dora_inference_seconds_count{model="zeros"}')) === 1,
      'the run',
    );
    expect((await infer(impatient.url, 'slow', slowRun(1))).status).toBe(200);
    await until(async () => (await answered(impatient.url, 499)) === 1, 'the end of the unread answer');
    socket.destroy();
  });

  it('that announce a body too large get the answer before they send it', async () => {
    const { ended, socket } = await talk(
      'POST /v2/models/slow/infer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000000000\r\nConnection: close\r\n\r\n',
    );
    await until(() => socket.destroyed || socket.readableEnded, 'the answer');
    const answer = await ended;
    expect(answer).toContain('413 Payload Too Large');
    expect(answer).not.toContain('100 Continue');
  });

  it('that ask before they send are told to go on', async () => {
    const body = JSON.stringify(slowRun(1));
    const { ended, socket } = await talk(
      `POST /v2/models/slow/infer HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
    );
    await new Promise((resolve) => socket.once('data', resolve));
    socket.write(body);
    expect(await ended).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  });
});

describe('logs', () => {
  it('have one line a request with its id, and nothing of what it carried', async () => {
    const lines: string[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(...chunk.toString().trim().split('\n'));
        done();
      },
    });
    const server = await start({ logger: pino({ level: 'debug' }, sink), apiKey: 'correct-horse-battery' });
    const body = {
      id: 'in-the-body',
      inputs: [{ name: 'x', shape: [1, 3], datatype: 'BYTES', data: ['secret', 'secret', 'secret'] }],
    };
    const headers = { Authorization: 'Bearer correct-horse-battery', 'X-Request-Id': 'trace-1' };
    const answer = await infer(server.url, 'identity.bytes', body, { headers });
    expect(answer.headers['x-request-id']).toBe('trace-1');
    await until(() => lines.some((line) => line.includes('trace-1')), 'the line');
    const requests = lines.map((line) => JSON.parse(line)).filter(({ requestId }) => requestId === 'trace-1');
    expect(requests).toEqual([
      expect.objectContaining({
        method: 'POST',
        path: '/v2/models/identity.bytes/infer',
        status: 200,
        ms: expect.any(Number),
      }),
    ]);
    expect(lines.join('\n')).not.toMatch(/secret|battery|in-the-body/);
  });
});
