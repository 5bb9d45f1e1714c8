/** `ort-dora serve`: models over HTTP, as OpenAI chat completions and by the Open Inference Protocol v2, until the process is stopped. */

import type { SessionOptions } from '@ort-dora/runtime';
import { createServer, type PortChoice } from '@ort-dora/server';
import { InvalidArgumentError, Option } from 'commander';
import { findModels } from '../models.js';
import { jsonOption, type OutputOptions } from '../output.js';
import type { Register } from '../program.js';
import { painter, type Surroundings } from '../terminal.js';

interface ServeOptions extends OutputOptions {
  readonly host: string;
  readonly port: number;
  readonly nextFreePort?: boolean;
  readonly device: 'cpu' | 'cuda';
}

/** Ports tried after the wanted one. */
const furtherPorts = 100;

export const registerServe: Register = (program, surroundings) => {
  program
    .command('serve')
    .description('serve models over HTTP (OpenAI chat completions, KServe Open Inference Protocol v2)')
    .argument('<MODEL>', 'an .onnx file, a model folder, or a folder of model folders')
    .option('--host <H>', 'address to listen on', '127.0.0.1')
    .option('--port <P>', 'port to listen on; 0 lets the system choose', parsePort, 8080)
    .option('--next-free-port', 'if the port is taken, use the next free one')
    .addOption(new Option('--device <DEVICE>', 'where models run').choices(['cpu', 'cuda']).default('cpu'))
    .addOption(jsonOption())
    .action((model: string, options: ServeOptions) => serve(model, options, surroundings));
};

async function serve(model: string, options: ServeOptions, { stdout, signal }: Surroundings): Promise<void> {
  await findModels(model);
  const server = createServer({
    models: model,
    host: options.host,
    port: portChoice(options),
    session: sessionOptions(options),
  });
  const stopped = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const started = server.start();
  await Promise.race([started, stopped]);
  if (!signal.aborted) {
    announce(server.url, options, stdout);
    await stopped;
  }
  // A server that is being stopped while it starts may fail to start; that is what was asked for.
  await started.catch(() => {});
  await server.close();
}

function announce(url: string, { json }: ServeOptions, stdout: Surroundings['stdout']): void {
  if (json) {
    stdout.write(`${JSON.stringify({ url })}\n`);
    return;
  }
  const paint = painter(stdout);
  stdout.write(`${paint('bold', `serving at ${url}`)}\n`);
  stdout.write(`  models    curl ${url}/v2/repository/index -X POST\n  reference ${url}/docs\nPress Ctrl-C to stop.\n`);
}

function portChoice({ port, nextFreePort }: ServeOptions): PortChoice {
  return nextFreePort && port > 0 ? { from: port, attempts: Math.min(furtherPorts, 65_535 - port) + 1 } : port;
}

const sessionOptions = ({ device }: ServeOptions): SessionOptions =>
  device === 'cuda' ? { providers: [{ name: 'cuda' }] } : {};

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new InvalidArgumentError('it must be a port, 0 to 65535.');
  return port;
}
