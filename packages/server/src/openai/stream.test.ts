import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import express, { type Response } from 'express';
import { afterEach, expect, it } from 'vitest';
import { EventStream } from './stream.js';

const close: (() => void)[] = [];
afterEach(() => {
  for (const end of close.splice(0)) end();
});

/** A response whose client reads its headers and then nothing more. */
async function unread(): Promise<Response> {
  const app = express();
  const response = new Promise<Response>((resolve) => app.get('/', (_req, res) => resolve(res)));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => {}).pause();
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  close.push(() => {
    client.destroy();
    server.close();
  });
  return response;
}

async function sendForEver(stream: EventStream): Promise<void> {
  for (;;) await stream.send('x'.repeat(1 << 20));
}

it('does not wait longer than it may for a client that does not read', async () => {
  const res = await unread();
  const stream = new EventStream(res, { signal: new AbortController().signal, sendTimeoutMs: 100 });
  await expect(sendForEver(stream)).rejects.toMatchObject({ status: 499 });
  expect(res.destroyed).toBe(true);
});

it('stops waiting for the client when it is aborted', async () => {
  const controller = new AbortController();
  const stream = new EventStream(await unread(), { signal: controller.signal, sendTimeoutMs: 60_000 });
  const sending = sendForEver(stream);
  setTimeout(() => controller.abort(new Error('shut down')), 50);
  await expect(sending).rejects.toThrow('shut down');
  await expect(stream.send('more')).rejects.toThrow('shut down');
});
