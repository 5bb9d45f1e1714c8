import { defer } from './deferred.js';
import { OnnxError } from './errors.js';
import { RepeatedStrings } from './repeated-strings.js';
import type { Field, Schema } from './schema.js';
import { addSource, type Origin, sourceOf } from './source.js';
import {
  accepts,
  asPlainBytes,
  countNumbers,
  createReader,
  DELIMITED,
  isNumeric,
  type NumberToken,
  type Reader,
  readScalar,
  readTyped,
} from './wire.js';

/** Bounds on what one file may cost, checked before the cost is paid. */
export interface DecodeLimits {
  /** How deep messages may nest; a subgraph takes three levels. Default 100, protobuf's own. */
  readonly maxDepth?: number;
  /** Estimated bytes of JavaScript objects that decoding may make (inline tensor bytes are views and cost nothing). Default 1 GiB. */
  readonly maxHeapBytes?: number;
}

const DEFAULT_MAX_DEPTH = 100;
const DEFAULT_MAX_HEAP_BYTES = 2 ** 30;

// No writer makes a singular message of more than one part; each part costs another look at those before.
const MAX_PARTS = 16;

// Rough sizes on V8, x64: enough to stop a file whose two-byte messages would become hundreds of bytes each.
const FIELD_HEAP_BYTES = 16;
const OBJECT_HEAP_BYTES = 100;
const VALUE_HEAP_BYTES = 32;

/**
 * Decodes one message. Bytes fields are views of `bytes`, which must not be changed afterwards.
 * @throws OnnxError `malformed` with offset and path, or `limit`.
 */
export function decodeMessage<T extends object>(schema: Schema<T>, bytes: Uint8Array, limits: DecodeLimits = {}): T {
  const buffer = asPlainBytes(bytes);
  const decoder = new Decoder(buffer, limits, new RepeatedStrings(buffer));
  try {
    return decoder.message(schema as Schema<object>, buffer.length, 1) as T;
  } catch (cause) {
    const offset = decoder.offset;
    const place = { offset, path: pathAt(schema as Schema<object>, buffer, offset) };
    if (cause instanceof OnnxError) throw cause.at(place);
    // What protobufjs throws where bytes run out or are no varint, tag or length.
    if (cause instanceof RangeError || (cause instanceof Error && cause.constructor === Error)) {
      throw new OnnxError('malformed', `this is not a whole ${schema.name} (${cause.message})`, place, {
        todo: 'the file is cut off or damaged, or not an ONNX file: get it again',
        cause,
      });
    }
    throw cause;
  }
}

class Decoder {
  readonly #buffer: Uint8Array;
  readonly #reader: Reader;
  readonly #maxDepth: number;
  readonly #maxHeapBytes: number;
  readonly #origins = new Map<Schema<object>, Origin>();
  readonly #strings: RepeatedStrings | undefined;
  #heapBytes = 0;

  constructor(buffer: Uint8Array, limits: DecodeLimits, strings?: RepeatedStrings) {
    this.#buffer = buffer;
    this.#reader = createReader(buffer);
    this.#strings = strings;
    this.#maxDepth = limits.maxDepth ?? DEFAULT_MAX_DEPTH;
    this.#maxHeapBytes = limits.maxHeapBytes ?? DEFAULT_MAX_HEAP_BYTES;
  }

  get offset(): number {
    return this.#reader.pos;
  }

  /** Reads fields from the reader's position to `end`, into `into` where the message comes in parts. */
  message(schema: Schema<object>, end: number, depth: number, into?: Record<string, unknown>): object {
    this.#checkDepth(depth);
    this.#spend(OBJECT_HEAP_BYTES + FIELD_HEAP_BYTES * schema.fields.length);
    const reader = this.#reader;
    const message = into ?? (schema.createBare() as Record<string, unknown>);
    this.#remember(message, schema, reader.pos, end);
    const outerEnd = reader.len;
    reader.len = end;
    let stored: Map<Field, NumberToken[]> | undefined;
    let put: Field[] | undefined;
    /** Of the deferred field that is not repeated: no message has two. */
    let parts = 1;
    while (reader.pos < end) {
      const tag = reader.tag();
      const wireType = tag & 7;
      const field = schema.byNumber[tag >>> 3];
      if (field === undefined || !accepts(field, wireType)) {
        reader.skipType(wireType, 0, tag >>> 3);
      } else if (field.repeated && isNumeric(field)) {
        const token = this.#numbers(field, wireType);
        if (field.store === undefined) this.#appendNumbers(message[field.name] as unknown[], field, token);
        else {
          stored ??= new Map();
          const tokens = stored.get(field);
          if (tokens === undefined) stored.set(field, [token]);
          else tokens.push(token);
        }
      } else if (field.deferred) {
        this.#pass(field.message(), this.#lengthPrefix(), depth + 1);
        put ??= [];
        if (!put.includes(field)) put.push(field);
        else if (!field.repeated) checkParts(field.message(), ++parts);
      } else if (field.kind === 'message') {
        this.#submessage(schema, message, field, depth);
      } else {
        const value =
          field.kind === 'string' && this.#strings !== undefined
            ? this.#strings.read(reader)
            : readScalar(reader, field.kind);
        this.#spend(typeof value === 'string' ? VALUE_HEAP_BYTES + value.length : VALUE_HEAP_BYTES);
        if (field.repeated) append(message, field, value);
        else {
          if (field.oneof !== undefined) clearOneof(schema, message, field);
          message[field.name] = value;
        }
      }
    }
    if (stored !== undefined) for (const [field, tokens] of stored) this.#store(message, field, tokens);
    for (const field of schema.deferred) {
      if (put?.includes(field)) defer(message, field, readField);
      else message[field.name] = field.repeated ? [] : undefined;
    }
    reader.len = outerEnd;
    return message;
  }

  /**
   * Passes over a message whose decoding is deferred: all that decoding would find wrong with it is found now, so that
   * reading it later cannot fail.
   */
  #pass(schema: Schema<object>, end: number, depth: number): void {
    const reader = this.#reader;
    this.#checkDepth(depth);
    this.#spend(OBJECT_HEAP_BYTES + FIELD_HEAP_BYTES * schema.fields.length);
    const outerEnd = reader.len;
    reader.len = end;
    let parts: Map<Field, number> | undefined;
    while (reader.pos < end) {
      const tag = reader.tag();
      const wireType = tag & 7;
      const field = schema.byNumber[tag >>> 3];
      if (field === undefined || !accepts(field, wireType)) {
        reader.skipType(wireType, 0, tag >>> 3);
      } else if (field.kind === 'message') {
        if (!field.repeated) {
          parts ??= new Map();
          parts.set(field, (parts.get(field) ?? 0) + 1);
          checkParts(field.message(), parts.get(field)!);
        }
        this.#pass(field.message(), this.#lengthPrefix(), depth + 1);
      } else {
        const start = reader.pos;
        if (wireType !== DELIMITED) readScalar(reader, field.kind);
        else reader.skipType(wireType, 0, tag >>> 3);
        this.#spend(VALUE_HEAP_BYTES + reader.pos - start);
      }
    }
    reader.len = outerEnd;
  }

  /** The elements of a field of messages within a range of the buffer: those of a singular one as parts of one message. */
  elements(field: Field, start: number, end: number, into: object[]): void {
    const reader = this.#reader;
    reader.pos = start;
    reader.len = end;
    while (reader.pos < end) {
      const tag = reader.tag();
      if (tag >>> 3 === field.number && accepts(field, tag & 7)) {
        const before = field.repeated ? undefined : (into.pop() as Record<string, unknown> | undefined);
        into.push(this.message(field.message(), this.#lengthPrefix(), 1, before));
      } else reader.skipType(tag & 7, 0, tag >>> 3);
    }
  }

  #submessage(schema: Schema<object>, message: Record<string, unknown>, field: Field, depth: number): void {
    const end = this.#lengthPrefix();
    if (field.repeated) {
      append(message, field, this.message(field.message(), end, depth + 1));
      return;
    }
    if (field.oneof !== undefined) clearOneof(schema, message, field);
    // A singular message that occurs again is merged into the first, as protobuf says.
    const before = message[field.name] as Record<string, unknown> | undefined;
    message[field.name] = this.message(field.message(), end, depth + 1, before);
  }

  #lengthPrefix(): number {
    const reader = this.#reader;
    const length = reader.size();
    if (reader.pos + length > reader.len) {
      throw new RangeError(`a length of ${length} bytes where ${reader.len - reader.pos} are left`);
    }
    return reader.pos + length;
  }

  #numbers(field: Field, wireType: number): NumberToken {
    const reader = this.#reader;
    if (wireType === DELIMITED) {
      const end = this.#lengthPrefix();
      const token = { wireType, start: reader.pos, end };
      reader.pos = end;
      return token;
    }
    const start = reader.pos;
    reader.skipType(wireType);
    this.#spend(field.store === undefined ? 0 : OBJECT_HEAP_BYTES);
    return { wireType, start, end: reader.pos };
  }

  #appendNumbers(values: unknown[], field: Field, token: NumberToken): void {
    const reader = this.#reader;
    const outerEnd = reader.len;
    this.#spend(VALUE_HEAP_BYTES * countNumbers(this.#buffer, field, [token]));
    reader.pos = token.start;
    reader.len = token.end;
    while (reader.pos < token.end) values.push(readScalar(reader, field.kind));
    reader.len = outerEnd;
  }

  #store(message: Record<string, unknown>, field: Field, tokens: readonly NumberToken[]): void {
    const before = message[field.name] as { readonly length: number };
    const ranges = sourceOf(message)!.ranges;
    // A tensor that comes in parts: its numbers continue those of the parts before.
    const all = before.length === 0 ? tokens : [...numberTokens(this.#buffer, ranges.slice(0, -2), field), ...tokens];
    const count = countNumbers(this.#buffer, field, all);
    this.#spend(8 * count);
    message[field.name] = readTyped(this.#buffer, field, field.store!, all, count);
  }

  #remember(message: object, schema: Schema<object>, start: number, end: number): void {
    let origin = this.#origins.get(schema);
    if (origin === undefined) {
      origin = { buffer: this.#buffer, schema };
      this.#origins.set(schema, origin);
    }
    checkParts(schema, addSource(message, origin, start, end));
  }

  #checkDepth(depth: number): void {
    if (depth <= this.#maxDepth) return;
    throw new OnnxError('limit', `messages nest deeper than ${this.#maxDepth}`, {}, { todo: 'raise limits.maxDepth' });
  }

  #spend(bytes: number): void {
    this.#heapBytes += bytes;
    if (this.#heapBytes > this.#maxHeapBytes) {
      throw new OnnxError(
        'limit',
        `decoding needs more than ${this.#maxHeapBytes} bytes of memory for the model's structure`,
        {},
        { todo: 'raise limits.maxHeapBytes if you trust the file' },
      );
    }
  }
}

/** A deferred field of a decoded message; decoding has been over its bytes once, so nothing can be wrong with them. */
function readField(message: object, field: Field): object[] | object | undefined {
  const { buffer, ranges } = sourceOf(message)!;
  const decoder = new Decoder(buffer, {});
  const found: object[] = [];
  for (let range = 0; range < ranges.length; range += 2) {
    decoder.elements(field, ranges[range]!, ranges[range + 1]!, found);
  }
  return field.repeated ? found : found[0];
}

function checkParts(schema: Schema<object>, parts: number): void {
  if (parts > MAX_PARTS) throw new OnnxError('limit', `one ${schema.name} comes in more than ${MAX_PARTS} parts`);
}

/**
 * Adds an element to a repeated field. V8 makes room for 17 at the first push, and for as many where a literal has a
 * spread; most fields have one or two elements, and these literals hold no more.
 */
function append(message: Record<string, unknown>, field: Field, element: unknown): void {
  const elements = message[field.name] as unknown[];
  const [first, second] = elements;
  if (elements.length === 0) message[field.name] = [element];
  else if (elements.length === 1) message[field.name] = [first, element];
  else if (elements.length === 2) message[field.name] = [first, second, element];
  else elements.push(element);
}

/** The other fields of the oneof that `field` belongs to become absent. */
export function clearOneof(schema: Schema<object>, message: Record<string, unknown>, field: Field): void {
  for (const other of schema.fields) {
    if (other.oneof === field.oneof && other !== field) message[other.name] = undefined;
  }
}

function numberTokens(buffer: Uint8Array, ranges: readonly number[], field: Field): NumberToken[] {
  const tokens: NumberToken[] = [];
  for (let range = 0; range < ranges.length; range += 2) {
    const end = ranges[range + 1]!;
    const reader = createReader(buffer, ranges[range]!, end);
    while (reader.pos < end) {
      const tag = reader.tag();
      const wireType = tag & 7;
      const start = wireType === DELIMITED ? reader.pos + prefixLength(reader) : reader.pos;
      reader.skipType(wireType, 0, tag >>> 3);
      if (tag >>> 3 === field.number && accepts(field, wireType)) tokens.push({ wireType, start, end: reader.pos });
    }
  }
  return tokens;
}

function prefixLength(reader: Reader): number {
  const before = reader.pos;
  reader.size();
  const length = reader.pos - before;
  reader.pos = before;
  return length;
}

/** The path of the innermost message around byte `offset`: read again from the top, so that decoding need not keep it. */
function pathAt(root: Schema<object>, buffer: Uint8Array, offset: number): string {
  let path = '';
  let schema = root;
  let [start, end] = [0, buffer.length];
  try {
    descend: while (true) {
      const reader = createReader(buffer, start, end);
      const counts = new Map<Field, number>();
      while (reader.pos < end) {
        const tag = reader.tag();
        const field = schema.byNumber[tag >>> 3];
        if (field === undefined || (tag & 7) !== DELIMITED) {
          reader.skipType(tag & 7, 0, tag >>> 3);
          continue;
        }
        const bodyEnd = reader.size() + reader.pos;
        const count = counts.get(field) ?? 0;
        counts.set(field, count + 1);
        if (offset > bodyEnd || (offset === bodyEnd && bodyEnd < end)) {
          reader.pos = bodyEnd;
          continue;
        }
        path += `${path === '' ? '' : '.'}${field.name}${field.repeated ? `[${count}]` : ''}`;
        if (field.kind !== 'message' || bodyEnd > end) return path;
        [schema, start, end] = [field.message(), reader.pos, bodyEnd];
        continue descend;
      }
      return path;
    }
  } catch {
    return path;
  }
}
