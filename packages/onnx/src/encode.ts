import { isDeferred } from './deferred.js';
import { OnnxError } from './errors.js';
import type { Field, Schema } from './schema.js';
import { hasSource, type Source, sourceOf } from './source.js';
import {
  accepts,
  countNumbers,
  createReader,
  createWriter,
  DELIMITED,
  isNumeric,
  type NumberToken,
  readScalar,
  readTyped,
  readUtf8,
  type Scalar,
  type TypedData,
  wireTypeOf,
  writeScalar,
} from './wire.js';

type Message = Record<string, unknown>;

/**
 * Encodes a message. What was decoded and is unchanged comes out as the bytes it came from, whatever their form; a
 * changed message keeps the order of its fields, the fields that the schema does not know, and every unchanged part.
 * @throws OnnxError `invalid-value`, or `too-large` from 2 GiB on.
 */
export function encodeMessage<T extends object>(schema: Schema<T>, message: T): Uint8Array {
  const chunks = planChunks(schema, message);
  const encoded = new Uint8Array(chunks.reduce((total, chunk) => total + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    encoded.set(chunk, at);
    at += chunk.length;
  }
  return encoded;
}

/** As {@link encodeMessage}, in pieces that mostly are views of the message's own bytes: nothing large is copied. */
export function planChunks<T extends object>(schema: Schema<T>, message: T): Uint8Array[] {
  const encoder = new Encoder();
  return encoder.encode(schema as Schema<object>, message);
}

const MAX_MESSAGE_BYTES = 2 ** 31 - 1;

/** Bytes to emit, in order: parts of source buffers or of the encoder's own scratch (`buffer` undefined). */
class Plan {
  length = 0;
  readonly pieces: (Plan | { buffer: Uint8Array | undefined; start: number; end: number })[] = [];

  add(buffer: Uint8Array | undefined, start: number, end: number): void {
    if (start === end) return;
    this.length += end - start;
    const last = this.pieces[this.pieces.length - 1];
    if (last !== undefined && !(last instanceof Plan) && last.buffer === buffer && last.end === start) last.end = end;
    else this.pieces.push({ buffer, start, end });
  }

  addPlan(plan: Plan): void {
    this.length += plan.length;
    this.pieces.push(plan);
  }
}

/** Tokens of one message under comparison; kept on one stack, so that comparing allocates nothing per field. */
const TOKEN_WIDTH = 5;
const FIELD = 0;
const TAG = 1;
const BODY = 2;
const END = 3;
const WIRE = 4;

class Encoder {
  /** New bytes: tags, lengths, scalars. */
  readonly #writer = createWriter();
  /** Plans of changed messages; a message that is not here is unchanged or not looked at yet. */
  readonly #changed = new Map<object, Plan>();
  readonly #tokens: number[] = [];

  encode(schema: Schema<object>, message: object): Uint8Array[] {
    const plan = new Plan();
    this.#addBody(plan, schema, message as Message);
    if (plan.length > MAX_MESSAGE_BYTES) {
      throw new OnnxError(
        'too-large',
        `the encoded ${schema.name} has ${plan.length} bytes`,
        {},
        {
          todo: 'protobuf ends at 2 GiB: move initializers to external data',
        },
      );
    }
    const scratch = this.#writer.finish();
    const chunks: Uint8Array[] = [];
    const emit = (part: Plan): void => {
      for (const piece of part.pieces) {
        if (piece instanceof Plan) emit(piece);
        else chunks.push((piece.buffer ?? scratch).subarray(piece.start, piece.end));
      }
    };
    emit(plan);
    return chunks;
  }

  /** Adds a message's content: its source bytes where unchanged. */
  #addBody(plan: Plan, schema: Schema<object>, message: Message): void {
    const changed = this.#plan(schema, message);
    if (changed !== undefined) plan.addPlan(changed);
    else {
      const { buffer, ranges } = sourceOf(message)!;
      for (let range = 0; range < ranges.length; range += 2) plan.add(buffer, ranges[range]!, ranges[range + 1]!);
    }
  }

  /** The plan of a message that differs from its source or has none; undefined where it is unchanged. */
  #plan(schema: Schema<object>, message: Message): Plan | undefined {
    const known = this.#changed.get(message);
    if (known !== undefined) return known;
    const source = sourceOf(message);
    const plan =
      source === undefined || source.schema !== schema
        ? this.#planNew(schema, message)
        : this.#planDecoded(schema, message, source);
    if (plan !== undefined) this.#changed.set(message, plan);
    return plan;
  }

  #planNew(schema: Schema<object>, message: Message): Plan {
    const plan = new Plan();
    for (const field of schema.fields) this.#addField(plan, schema, message, field);
    return plan;
  }

  /** A whole field, in canonical form. */
  #addField(
    plan: Plan,
    schema: Schema<object>,
    message: Message,
    field: Field,
    packed = field.store !== undefined,
  ): void {
    const value = message[field.name];
    if (value === undefined) return;
    if (field.oneof !== undefined) checkOneof(schema, message, field);
    if (!field.repeated) {
      this.#addElement(plan, schema, field, value);
      return;
    }
    const values = value as ArrayLike<unknown>;
    if (typeof values !== 'object' || values === null || typeof values.length !== 'number') {
      throw invalid(schema, field, value, 'an array');
    }
    if (packed && values.length > 0) this.#addPacked(plan, schema, field, values as ArrayLike<Scalar>);
    else for (let index = 0; index < values.length; index++) this.#addElement(plan, schema, field, values[index]);
  }

  #addElement(plan: Plan, schema: Schema<object>, field: Field, value: unknown): void {
    const writer = this.#writer;
    if (field.kind === 'message') {
      if (typeof value !== 'object' || value === null) throw invalid(schema, field, value, 'a message');
      const body = new Plan();
      this.#addBody(body, field.message(), value as Message);
      this.#addLength(plan, field, body.length);
      plan.addPlan(body);
    } else if (field.kind === 'bytes') {
      if (!(value instanceof Uint8Array)) throw invalid(schema, field, value, 'a Uint8Array');
      this.#addLength(plan, field, value.length);
      plan.add(value, 0, value.length);
    } else {
      checkScalar(schema, field, value);
      const start = writer.pos;
      writer.uint32((field.number << 3) | wireTypeOf(field));
      writeScalar(writer, field.kind, value as Scalar);
      plan.add(undefined, start, writer.pos);
    }
  }

  #addPacked(plan: Plan, schema: Schema<object>, field: Field, values: ArrayLike<Scalar>): void {
    if (values instanceof Float32Array || values instanceof Float64Array) {
      this.#addLength(plan, field, values.byteLength);
      plan.add(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 0, values.byteLength);
      return;
    }
    const writer = this.#writer;
    const start = writer.pos;
    for (let index = 0; index < values.length; index++) {
      checkScalar(schema, field, values[index]);
      writeScalar(writer, field.kind, values[index]!);
    }
    const end = writer.pos;
    this.#addLength(plan, field, end - start);
    plan.add(undefined, start, end);
  }

  #addLength(plan: Plan, field: Field, length: number): void {
    const start = this.#writer.pos;
    this.#writer.uint32((field.number << 3) | DELIMITED).uint32(length);
    plan.add(undefined, start, this.#writer.pos);
  }

  // --- messages that were decoded ---

  #planDecoded(schema: Schema<object>, message: Message, source: Source): Plan | undefined {
    const base = this.#tokens.length;
    this.#scan(schema, source);
    const changed = this.#changedFields(schema, message, source, base);
    const plan = changed === undefined ? undefined : this.#planChanged(schema, message, source, base, changed);
    this.#tokens.length = base;
    return plan;
  }

  /** Pushes the tokens of the source: field index (-1: not of the schema), start of tag, of body, end, wire type. */
  #scan(schema: Schema<object>, { buffer, ranges }: Source): void {
    for (let range = 0; range < ranges.length; range += 2) {
      const reader = createReader(buffer, ranges[range]!, ranges[range + 1]!);
      while (reader.pos < reader.len) {
        const start = reader.pos;
        const tag = reader.tag();
        const wireType = tag & 7;
        let body = reader.pos;
        if (wireType === DELIMITED) {
          const length = reader.size();
          body = reader.pos;
          reader.skip(length);
        } else reader.skipType(wireType, 0, tag >>> 3);
        const field = schema.byNumber[tag >>> 3];
        const known = field !== undefined && accepts(field, wireType);
        this.#tokens.push(known ? field.index : -1, start, body, reader.pos, wireType);
      }
    }
  }

  /** Which fields differ from the source, by index; undefined if none does. */
  #changedFields(schema: Schema<object>, message: Message, source: Source, base: number): boolean[] | undefined {
    const tokens = this.#tokens;
    const end = tokens.length;
    // Per field: elements seen (repeated), or whether the last occurrence equals the value (singular: 0 none seen).
    const SAME = 1;
    const DIFFERS = -1;
    const state = new Array<number>(schema.fields.length).fill(0);
    for (let token = base; token < end; token += TOKEN_WIDTH) {
      const index = tokens[token + FIELD]!;
      if (index < 0) continue;
      const field = schema.fields[index]!;
      if (field.store !== undefined || isDeferred(message, field)) continue;
      const value = message[field.name];
      if (!field.repeated) {
        if (field.oneof !== undefined) clearStates(schema, state, field);
        state[index] = this.#equalsToken(field, value, source, token) ? SAME : DIFFERS;
      } else if (state[index] !== DIFFERS) {
        const consumed = this.#matchElements(field, value, state[index]!, source, token);
        state[index] = consumed < 0 ? DIFFERS : state[index]! + consumed;
      }
    }
    let changed: boolean[] | undefined;
    for (const field of schema.fields) {
      if (isDeferred(message, field)) continue;
      const value = message[field.name];
      let same: boolean;
      if (field.store !== undefined) same = this.#sameStore(field, value, source, base, end);
      else if (field.repeated) same = state[field.index] === ((value as ArrayLike<unknown> | undefined)?.length ?? 0);
      else same = state[field.index] === 0 ? value === undefined : state[field.index] === SAME;
      if (!same) {
        changed ??= new Array<boolean>(schema.fields.length).fill(false);
        changed[field.index] = true;
      }
    }
    // One member of a oneof changed: the others' tokens must not win over it.
    if (changed !== undefined && schema.hasOneof) {
      for (const field of schema.fields) {
        if (field.oneof !== undefined && changed[field.index]) {
          for (const other of schema.fields) if (other.oneof === field.oneof) changed[other.index] = true;
        }
      }
    }
    return changed;
  }

  #equalsToken(field: Field, value: unknown, { buffer }: Source, token: number): boolean {
    if (value === undefined) return false;
    const body = this.#tokens[token + BODY]!;
    const end = this.#tokens[token + END]!;
    if (field.kind === 'message') {
      return isPart(value, buffer, body, end) && this.#plan(field.message(), value as Message) === undefined;
    }
    if (field.kind === 'bytes') return value instanceof Uint8Array && sameBytes(value, buffer, body, end);
    if (field.kind === 'string') return typeof value === 'string' && value === readUtf8(buffer, body, end);
    return Object.is(value, readScalar(createReader(buffer, body, end), field.kind));
  }

  /** How many elements from `values[from]` on equal the token's (1, or those of a packed block); -1 if they differ. */
  #matchElements(field: Field, values: unknown, from: number, source: Source, token: number): number {
    const list = values as ArrayLike<unknown>;
    if (!isNumeric(field) || this.#tokens[token + WIRE] !== DELIMITED) {
      return from < list.length && this.#equalsToken(field, list[from], source, token) ? 1 : -1;
    }
    const reader = createReader(source.buffer, this.#tokens[token + BODY]!, this.#tokens[token + END]!);
    let count = 0;
    while (reader.pos < reader.len) {
      if (!Object.is(list[from + count], readScalar(reader, field.kind))) return -1;
      count++;
    }
    return count;
  }

  #sameStore(field: Field, value: unknown, { buffer }: Source, base: number, end: number): boolean {
    const held = (value ?? []) as TypedData;
    const tokens = this.#numberTokens(field, base, end);
    const count = countNumbers(buffer, field, tokens);
    if (held.length !== count) return false;
    if (count === 0) return true;
    const stored = readTyped(buffer, field, field.store!, tokens, count);
    if (held.constructor !== stored.constructor) return false;
    return Buffer.compare(bytesOf(held), bytesOf(stored)) === 0;
  }

  #numberTokens(field: Field, base: number, end: number): NumberToken[] {
    const found: NumberToken[] = [];
    const tokens = this.#tokens;
    for (let token = base; token < end; token += TOKEN_WIDTH) {
      if (tokens[token + FIELD] !== field.index) continue;
      found.push({ wireType: tokens[token + WIRE]!, start: tokens[token + BODY]!, end: tokens[token + END]! });
    }
    return found;
  }

  /** Goes through the source's tokens again: what is unchanged is taken over, what changed is written in its place. */
  #planChanged(schema: Schema<object>, message: Message, source: Source, base: number, changed: boolean[]): Plan {
    const plan = new Plan();
    const end = this.#tokens.length;
    const { buffer } = source;
    const replacements = new Map<number, (token: number) => void>();
    const missing: Field[] = [];
    for (const field of schema.fields) {
      if (!changed[field.index]) continue;
      const own: number[] = [];
      for (let token = base; token < end; token += TOKEN_WIDTH) {
        if (this.#tokens[token + FIELD] === field.index) own.push(token);
      }
      if (own.length === 0) missing.push(field);
      else replacements.set(field.index, this.#replacement(plan, schema, message, field, source, own));
    }
    for (let token = base; token < end; token += TOKEN_WIDTH) {
      const index = this.#tokens[token + FIELD]!;
      const replace = index < 0 ? undefined : replacements.get(index);
      if (replace === undefined) plan.add(buffer, this.#tokens[token + TAG]!, this.#tokens[token + END]!);
      else replace(token);
    }
    for (const field of missing) this.#addField(plan, schema, message, field);
    return plan;
  }

  /** What to emit at each of a changed field's tokens. */
  #replacement(
    plan: Plan,
    schema: Schema<object>,
    message: Message,
    field: Field,
    source: Source,
    own: readonly number[],
  ): (token: number) => void {
    const last = own[own.length - 1]!;
    if (!field.repeated) {
      return (token) => {
        if (token === last && message[field.name] !== undefined) {
          if (field.oneof !== undefined) checkOneof(schema, message, field);
          this.#emitAt(plan, schema, field, message[field.name], source, token);
        }
      };
    }
    const inBlocks = own.some((token) => isNumeric(field) && this.#tokens[token + WIRE] === DELIMITED);
    if (field.store !== undefined || inBlocks) {
      return (token) => {
        if (token === own[0]) this.#addField(plan, schema, message, field, inBlocks);
      };
    }
    const values = (message[field.name] ?? []) as unknown[];
    const anchors = this.#anchors(field, values, source, own);
    let next = 0;
    return (token) => {
      const anchored = anchors.get(token);
      if (anchored !== undefined) {
        while (next < anchored) this.#addElement(plan, schema, field, values[next++]);
        this.#emitAt(plan, schema, field, values[next++], source, token);
      }
      if (token === last) while (next < values.length) this.#addElement(plan, schema, field, values[next++]);
    };
  }

  /** Which element (index) belongs at which token: those that were there before, as far as their order is kept. */
  #anchors(field: Field, values: readonly unknown[], source: Source, own: readonly number[]): Map<number, number> {
    const anchors = new Map<number, number>();
    if (field.kind === 'message') {
      const tokenAt = new Map(own.map((token) => [this.#tokens[token + BODY]!, token]));
      let last = -1;
      values.forEach((value, index) => {
        const part = typeof value === 'object' && value !== null ? sourceOf(value) : undefined;
        if (part?.buffer !== source.buffer) return;
        const token = tokenAt.get(part.ranges[0]!);
        if (token === undefined || token <= last) return;
        if (!isPart(value, source.buffer, this.#tokens[token + BODY]!, this.#tokens[token + END]!)) return;
        anchors.set(token, index);
        last = token;
      });
      return anchors;
    }
    const equal = (token: number, index: number) => this.#equalsToken(field, values[index], source, token);
    let head = 0;
    while (head < own.length && head < values.length && equal(own[head]!, head)) {
      anchors.set(own[head]!, head);
      head++;
    }
    for (let tail = 1; tail <= own.length - head && tail <= values.length - head; tail++) {
      const token = own[own.length - tail]!;
      if (!equal(token, values.length - tail)) break;
      anchors.set(token, values.length - tail);
    }
    return anchors;
  }

  /** A value in the place of a token: the token itself where it is equal, else the token's tag and new content. */
  #emitAt(plan: Plan, schema: Schema<object>, field: Field, value: unknown, source: Source, token: number): void {
    const start = this.#tokens[token + TAG]!;
    const end = this.#tokens[token + END]!;
    if (this.#equalsToken(field, value, source, token)) plan.add(source.buffer, start, end);
    else this.#addElement(plan, schema, field, value);
  }
}

function clearStates(schema: Schema<object>, state: number[], field: Field): void {
  for (const other of schema.fields) if (other.oneof === field.oneof && other !== field) state[other.index] = 0;
}

function checkOneof(schema: Schema<object>, message: Message, field: Field): void {
  for (const other of schema.fields) {
    if (other.oneof !== field.oneof || other === field || message[other.name] === undefined) continue;
    throw new OnnxError(
      'invalid-value',
      `a ${schema.name} has both ${other.name} and ${field.name}`,
      {},
      {
        todo: 'set one of them to undefined',
      },
    );
  }
}

const INTEGER_RANGE = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
} as const;

function checkScalar(schema: Schema<object>, field: Field, value: unknown): void {
  switch (field.kind) {
    case 'string':
      if (typeof value !== 'string') throw invalid(schema, field, value, 'a string');
      return;
    case 'float':
    case 'double':
      if (typeof value !== 'number') throw invalid(schema, field, value, 'a number');
      return;
    case 'int32':
      if (!Number.isInteger(value)) throw invalid(schema, field, value, 'an integer');
      break;
    default:
      if (typeof value !== 'bigint') throw invalid(schema, field, value, 'a bigint');
  }
  const [least, most] = INTEGER_RANGE[field.kind as keyof typeof INTEGER_RANGE];
  const held = value as number | bigint;
  if (held < least || held > most) throw invalid(schema, field, value, `an integer of ${least} … ${most}`);
}

function invalid(schema: Schema<object>, field: Field, value: unknown, expected: string): OnnxError {
  const shown = typeof value === 'object' && value !== null ? value.constructor?.name : String(value).slice(0, 60);
  return new OnnxError(
    'invalid-value',
    `${schema.name}.${field.name} must be ${expected}, not ${shown} (${typeof value})`,
  );
}

function isPart(value: unknown, buffer: Uint8Array, start: number, end: number): boolean {
  return typeof value === 'object' && value !== null && hasSource(value, buffer, start, end);
}

function sameBytes(value: Uint8Array, buffer: Uint8Array, start: number, end: number): boolean {
  if (value.length !== end - start) return false;
  if (value.buffer === buffer.buffer && value.byteOffset === buffer.byteOffset + start) return true;
  return Buffer.compare(value, buffer.subarray(start, end)) === 0;
}

function bytesOf(values: TypedData): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
