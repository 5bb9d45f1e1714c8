/** Reads a request body within a limit, placed so that binary tensors in it can be viewed without another copy. */
import type { Readable } from 'node:stream';
import { createGunzip, createInflate } from 'node:zlib';
import type { Request, Response } from 'express';
import { HttpError } from './errors.js';

export interface BodyOptions {
  /** Largest body after decompression, in bytes. */
  readonly limit: number;
  /** Offset in the body that must fall on an 8-byte boundary of the returned memory. */
  readonly alignedOffset?: number;
  readonly signal?: AbortSignal;
}

/** Throws HttpError 413 (too large), 415 (unknown encoding) or 400 (cut off, not decompressible). */
export async function readBody(req: Request, res: Response, options: BodyOptions): Promise<Uint8Array<ArrayBuffer>> {
  const encoding = (req.headers['content-encoding'] ?? 'identity').toLowerCase();
  const declared = encoding === 'identity' ? declaredLength(req) : undefined;
  if (declared !== undefined && declared > options.limit) throw tooLarge(options.limit);
  const stream = decompress(req, encoding);
  // Clients that ask (curl, for large bodies) send the body only once everything before this point has accepted the request.
  if (req.headers.expect?.toLowerCase() === '100-continue') res.writeContinue();

  const sink = declared === undefined ? new GrowingSink(options) : new FixedSink(options, declared);
  try {
    await pump(req, stream, sink, options.signal);
  } catch (error) {
    // Discards what the client still sends, so that it gets to read the answer; requestTimeout bounds that.
    req.unpipe();
    req.resume();
    throw error;
  }
  return sink.finish();
}

interface Sink {
  write(chunk: Buffer): void;
  finish(): Uint8Array<ArrayBuffer>;
}

/** Length known: every chunk is copied once, to its final place. */
class FixedSink implements Sink {
  readonly #body: Uint8Array<ArrayBuffer>;
  #size = 0;

  constructor(options: BodyOptions, length: number) {
    this.#body = allocateAligned(length, options.alignedOffset);
  }

  write(chunk: Buffer): void {
    this.#body.set(chunk, this.#size);
    this.#size += chunk.length;
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#body;
  }
}

/** Length unknown (chunked or compressed): chunks are kept and joined at the end. */
class GrowingSink implements Sink {
  readonly #options: BodyOptions;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(options: BodyOptions) {
    this.#options = options;
  }

  write(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#options.limit) throw tooLarge(this.#options.limit);
    this.#chunks.push(chunk);
  }

  finish(): Uint8Array<ArrayBuffer> {
    const body = allocateAligned(this.#size, this.#options.alignedOffset);
    let offset = 0;
    for (const chunk of this.#chunks) {
      body.set(chunk, offset);
      offset += chunk.length;
    }
    return body;
  }
}

function allocateAligned(length: number, alignedOffset = 0): Uint8Array<ArrayBuffer> {
  const pad = (8 - (alignedOffset % 8)) % 8;
  return new Uint8Array(new ArrayBuffer(pad + length), pad, length);
}

function declaredLength(req: Request): number | undefined {
  const header = req.headers['content-length'];
  return header === undefined ? undefined : Number(header);
}

function decompress(req: Request, encoding: string): Readable {
  switch (encoding) {
    case 'identity':
      return req;
    case 'gzip':
      return req.pipe(createGunzip());
    case 'deflate':
      return req.pipe(createInflate());
    default:
      throw new HttpError(415, `content encoding "${encoding}" is not supported; use identity, gzip or deflate`);
  }
}

async function pump(req: Request, stream: Readable, sink: Sink, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const settle = (error?: Error) => {
      signal?.removeEventListener('abort', onAbort);
      req.off('close', onClose);
      stream.off('data', onData).off('end', settle).off('error', onError);
      // A late error of a stream nobody reads any more must not end the process.
      if (error !== undefined) stream.on('error', () => {});
      if (error !== undefined && stream !== req) stream.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const onData = (chunk: Buffer) => {
      try {
        sink.write(chunk);
      } catch (error) {
        settle(error as Error);
      }
    };
    const onError = (error: Error) => settle(new HttpError(400, `the body cannot be read: ${error.message}`));
    const onAbort = () => settle(signal?.reason);
    const onClose = () => {
      if (!req.complete) settle(new HttpError(400, 'the client closed the connection before the whole body arrived'));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    req.on('close', onClose);
    stream.on('data', onData).on('end', settle).on('error', onError);
  });
}

function tooLarge(limit: number): HttpError {
  return new HttpError(413, `the request body is larger than ${limit} bytes`);
}
