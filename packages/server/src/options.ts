/** Options of the server, their defaults and limits. */
import type { SessionOptions } from '@ort-dora/runtime';
import { type Logger, pino } from 'pino';
import { z } from 'zod';
import { ServerError } from './errors.js';

/** A port, or the first free one of `attempts` ports counted up from `from`. */
export type PortChoice = number | { readonly from: number; readonly attempts: number };

export interface ServerOptions {
  /** An .onnx file, a model folder, or a folder of model folders. */
  readonly models: string;
  /** Address to bind. Default 127.0.0.1: nothing outside this machine can connect. */
  readonly host?: string;
  /** Default 8080; 0 lets the system choose. */
  readonly port?: PortChoice;
  /** When set, every request but the health probes needs `Authorization: Bearer <apiKey>`. */
  readonly apiKey?: string;
  /**
   * Host names that requests may carry in `Host`. Default: on a loopback address the loopback names (against DNS
   * rebinding), otherwise every name.
   */
  readonly allowedHosts?: readonly string[];
  /** Largest request body after decompression, in bytes. Default 64 MiB. */
  readonly maxBodyBytes?: number;
  /** Largest JSON part of a request, in bytes; parsing it blocks the event loop. Default 8 MiB. */
  readonly maxJsonBytes?: number;
  /** Largest body of a chat request, in bytes; pictures are in it as base64. Default 16 MiB. */
  readonly maxChatBytes?: number;
  /** Most pixels of a picture in a chat, checked before it is decoded. Default 40 000 000. */
  readonly maxImagePixels?: number;
  /** Most pictures in a chat. Default 16. */
  readonly maxImages?: number;
  /** Most tokens of an answer. Default 4096. */
  readonly maxAnswerTokens?: number;
  /** Runs computed at the same time. Default 2. */
  readonly maxConcurrentRuns?: number;
  /** Requests that may be received or wait beyond those; the next one gets 429. Default 64. */
  readonly maxQueuedRuns?: number;
  /** Open connections; further ones are dropped. Default 1024. */
  readonly maxConnections?: number;
  /** Time a client has to send its headers, in ms. Default 10 000. */
  readonly headersTimeoutMs?: number;
  /** Time a client has to send its whole request, in ms. Default 60 000. */
  readonly requestTimeoutMs?: number;
  /** Time a client may leave its answer unread, in ms. Default 60 000. */
  readonly sendTimeoutMs?: number;
  /** Time that running requests get to finish when the server closes, in ms. Default 30 000. */
  readonly drainTimeoutMs?: number;
  /** Serve the models that load even when others do not. Default false: one bad model stops the start. */
  readonly allowFailedModels?: boolean;
  /** Passed to the runtime for every model. */
  readonly session?: SessionOptions;
  /** Default: JSON lines on stderr. `false`: none. */
  readonly logger?: Logger | false;
}

const bytes = z
  .int()
  .min(1024)
  .max(2 ** 31 - 1);
const milliseconds = z
  .int()
  .min(1)
  .max(24 * 3600 * 1000);
const port = z.int().min(0).max(65535);

const optionsSchema = z.strictObject({
  models: z.string().min(1),
  host: z.string().min(1).default('127.0.0.1'),
  port: z.union([port, z.strictObject({ from: port.min(1), attempts: z.int().min(1).max(1000) })]).default(8080),
  apiKey: z
    .string()
    .min(8, 'must have at least 8 characters')
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces, as an HTTP header can carry it')
    .optional(),
  allowedHosts: z.array(z.string().min(1)).optional(),
  maxBodyBytes: bytes.default(64 * 1024 * 1024),
  maxJsonBytes: bytes.default(8 * 1024 * 1024),
  maxChatBytes: bytes.default(16 * 1024 * 1024),
  maxImagePixels: z.int().min(1).max(1_000_000_000).default(40_000_000),
  maxImages: z.int().min(0).max(1024).default(16),
  maxAnswerTokens: z.int().min(1).max(1_000_000).default(4096),
  maxConcurrentRuns: z.int().min(1).max(1024).default(2),
  maxQueuedRuns: z.int().min(0).max(100_000).default(64),
  maxConnections: z.int().min(1).max(1_000_000).default(1024),
  headersTimeoutMs: milliseconds.default(10_000),
  requestTimeoutMs: milliseconds.default(60_000),
  sendTimeoutMs: milliseconds.default(60_000),
  drainTimeoutMs: milliseconds.default(30_000),
  allowFailedModels: z.boolean().default(false),
  session: z.custom<SessionOptions>((value) => typeof value === 'object' && value !== null).optional(),
  logger: z
    .union([z.literal(false), z.custom<Logger>((value) => typeof (value as Logger | null)?.child === 'function')])
    .optional(),
});

export type ResolvedOptions = Omit<z.output<typeof optionsSchema>, 'logger'> & { readonly logger: Logger };

/** Checks the options and fills in the defaults. Throws ServerError INVALID_OPTIONS naming the option. */
export function resolveOptions(options: ServerOptions): ResolvedOptions {
  const result = optionsSchema.safeParse(options);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    const where = issue.path.length > 0 ? issue.path.join('.') : 'options';
    throw new ServerError('INVALID_OPTIONS', `server option ${where}: ${issue.message}`);
  }
  const { logger, ...rest } = result.data;
  if (rest.maxJsonBytes > rest.maxBodyBytes) rest.maxJsonBytes = rest.maxBodyBytes;
  if (rest.maxChatBytes > rest.maxBodyBytes) rest.maxChatBytes = rest.maxBodyBytes;
  return { ...rest, logger: createLogger(logger) };
}

function createLogger(logger: Logger | false | undefined): Logger {
  if (logger) return logger;
  if (logger === false) return pino({ level: 'silent' });
  return pino({ name: 'ort-dora' }, pino.destination({ dest: 2, sync: true }));
}
