/** Binds an HTTP server to a port, or to the first free one of a range. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ServerError } from './errors.js';
import type { PortChoice } from './options.js';

/**
 * Returns the address in use. Throws ServerError PORT_IN_USE when every port tried is taken, LISTEN_FAILED for anything
 * else (a port that needs privileges, an address that is not this machine's).
 */
export async function listen(server: Server, host: string, choice: PortChoice): Promise<AddressInfo> {
  const { from, attempts } = typeof choice === 'number' ? { from: choice, attempts: 1 } : choice;
  const last = Math.min(from + attempts - 1, 65535);
  for (let port = from; port <= last; port += 1) {
    try {
      return await listenOnce(server, host, port);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE') {
        throw new ServerError('LISTEN_FAILED', `cannot listen on ${host}:${port}: ${message}`, { cause: error });
      }
    }
  }
  const ports = last > from ? `ports ${from} to ${last} of ${host} are` : `port ${from} of ${host} is`;
  throw new ServerError('PORT_IN_USE', `${ports} in use; choose another port`);
}

async function listenOnce(server: Server, host: string, port: number): Promise<AddressInfo> {
  return await new Promise((resolve, reject) => {
    const onError = (error: Error) => {
      server.off('listening', onListening);
      reject(error);
    };
    const onListening = () => {
      server.off('error', onError);
      resolve(server.address() as AddressInfo);
    };
    server.once('error', onError).once('listening', onListening).listen({ host, port });
  });
}

export function urlOf({ address, family, port }: AddressInfo): string {
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
