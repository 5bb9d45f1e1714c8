// Requests per second and latency of one small model over loopback, against the runtime called directly, and the
// server's memory over a soak. Build first (`npm run build`), then, from the repository's root:
//   node packages/server/bench/infer.mjs [--seconds 5] [--soak 60] [--out benchmarks/results/server-infer.json]
import { fork } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { cpus, loadavg } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createSession } from '@ort-dora/runtime';

const SAMPLES = fileURLToPath(new URL('../../../models/fixtures/samples/', import.meta.url));
const MODEL = 'c05_linear_bias_dynamo_640';
const DIMS = [1, 4, 640];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    soak: { type: 'string', default: '0' },
    out: { type: 'string' },
  },
});

// Of the minute before: on a machine that others use, the figures mean little in absolute terms.
const load = round(loadavg()[0], 1);
const x = Float32Array.from({ length: DIMS.reduce((a, b) => a * b) }, (_, index) => Math.sin(index));
const agent = new Agent({ keepAlive: true });

const server = await startProcess('serve.mjs', `${SAMPLES}${MODEL}`);
const bare = await startProcess('bare.mjs', '1200');
const seconds = Number(values.seconds);
const results = [];
for (const concurrency of [1, 8]) {
  const direct = await measureDirect(concurrency);
  results.push({ path: 'runtime', concurrency, ...direct });
  for (const [path, send] of [
    ['binary', binarySender(server.url)],
    ['json', jsonSender(server.url)],
    ['bare node:http', binarySender(bare.url)],
  ]) {
    const http = await measure(send, concurrency, seconds);
    results.push({ path, concurrency, ...http, rate_vs_runtime: round(http.per_second / direct.per_second, 3) });
  }
}
const soak = Number(values.soak) > 0 ? await soakServer(Number(values.soak)) : undefined;
agent.destroy();
for (const { child } of [server, bare]) child.kill('SIGTERM');

const report = {
  command: `node packages/server/bench/infer.mjs ${process.argv.slice(2).join(' ')}`,
  machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, load_before: load },
  model: MODEL,
  input: { shape: DIMS, datatype: 'FP32', bytes: x.byteLength },
  results,
  ...(soak && { soak }),
};
const text = `${JSON.stringify(report, null, 2)}\n`;
console.table(results);
if (soak) console.table(soak.quarters);
if (values.out) {
  await mkdir(dirname(values.out), { recursive: true });
  await writeFile(values.out, text);
}

async function startProcess(script, argument) {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), [argument], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const line = await new Promise((resolve) => child.stdout.once('data', resolve));
  return { child, url: new URL(line.toString().trim()) };
}

async function measureDirect(concurrency) {
  const session = await createSession(`${SAMPLES}${MODEL}/model.onnx`);
  const feeds = { x: { type: 'float32', data: x, dims: DIMS } };
  const measured = await measure(() => session.run(feeds), concurrency, seconds);
  await session.dispose();
  return measured;
}

/** `concurrency` callers, each one call after the other, for so many seconds after a warm-up of half a second. */
async function measure(call, concurrency, duration) {
  await callers(call, concurrency, 0.5);
  const since = performance.now();
  const times = (await callers(call, concurrency, duration)).sort((a, b) => a - b);
  const elapsed = (performance.now() - since) / 1000;
  const percentile = (p) => round(times[Math.floor((times.length - 1) * p)], 3);
  return { per_second: Math.round(times.length / elapsed), p50_ms: percentile(0.5), p99_ms: percentile(0.99) };
}

async function callers(call, concurrency, duration) {
  const end = performance.now() + duration * 1000;
  const times = [];
  const caller = async () => {
    while (performance.now() < end) {
      const since = performance.now();
      await call();
      times.push(performance.now() - since);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, caller));
  return times;
}

function binarySender(url) {
  const header = Buffer.from(
    JSON.stringify({
      inputs: [{ name: 'x', shape: DIMS, datatype: 'FP32', parameters: { binary_data_size: x.byteLength } }],
      parameters: { binary_data_output: true },
    }),
  );
  const body = Buffer.concat([header, new Uint8Array(x.buffer)]);
  return () => post(url, body, { 'Inference-Header-Content-Length': header.length });
}

function jsonSender(url) {
  const body = Buffer.from(JSON.stringify({ inputs: [{ name: 'x', shape: DIMS, datatype: 'FP32', data: [...x] }] }));
  return () => post(url, body, { 'Content-Type': 'application/json' });
}

function post(url, body, headers) {
  return new Promise((resolve, reject) => {
    const options = {
      agent,
      method: 'POST',
      path: `/v2/models/${MODEL}/infer`,
      headers: { ...headers, 'Content-Length': body.length },
    };
    const outgoing = request(url, options, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      response.resume().on('end', resolve);
    });
    outgoing.on('error', reject).end(body);
  });
}

/** Half JSON, half binary, and every hundredth request cut off by the client. Resident memory of the server per quarter. */
async function soakServer(duration) {
  const [json, binary] = [jsonSender(server.url), binarySender(server.url)];
  let sent = 0;
  const call = () => {
    sent += 1;
    if (sent % 100 === 0) return cutOff();
    return sent % 2 === 0 ? json() : binary();
  };
  await callers(call, 8, duration / 8);
  const quarters = [];
  for (let quarter = 1; quarter <= 4; quarter += 1) {
    await callers(call, 8, duration / 4);
    const text = await (await fetch(new URL('/metrics', server.url))).text();
    const value = (name) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)[1]);
    quarters.push({
      quarter,
      requests: sent,
      rss_mb: round(value('process_resident_memory_bytes') / 1e6, 1),
      heap_mb: round(value('nodejs_heap_size_used_bytes') / 1e6, 1),
      open_fds: value('process_open_fds'),
    });
  }
  return { seconds: duration, requests: sent, quarters };
}

function cutOff() {
  return new Promise((resolve) => {
    const outgoing = request(server.url, {
      method: 'POST',
      path: `/v2/models/${MODEL}/infer`,
      headers: { 'Content-Length': 1000 },
    });
    outgoing.on('error', resolve).on('close', resolve);
    outgoing.write('{"inputs":', () => outgoing.destroy());
  });
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}
