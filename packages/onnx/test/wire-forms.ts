/** Random messages in all forms that protobuf allows, most of which no writer of ONNX files makes. Seeded. */
import type { Field, Schema } from '../src/schema.js';

export type Random = () => number;

/** Mulberry32: numbers of [0, 1). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const below = (random: Random, limit: number) => Math.floor(random() * limit);
const chance = (random: Random, share: number) => random() < share;

/** A varint, with `padding` needless bytes at its end. */
export function varint(value: bigint | number, padding = 0): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  } while (rest > 0n);
  for (let pad = 0; pad < padding && bytes.length < 10; pad++) bytes.push(128);
  bytes[bytes.length - 1]! &= 127;
  return bytes;
}

export function tag(number: number, wireType: number, padding = 0): number[] {
  const bytes = varint((number << 3) | wireType, padding);
  return bytes.length > 5 ? varint((number << 3) | wireType) : bytes;
}

export function delimited(number: number, body: readonly number[]): number[] {
  return [...tag(number, 2), ...varint(body.length), ...body];
}

/** The bytes of a random message: fields in any order, repeated, unknown, of the wrong type, in odd encodings. */
export function randomMessage(schema: Schema<object>, random: Random, depth = 0): number[] {
  const tokens: number[][] = [];
  for (let count = below(random, depth > 3 ? 4 : 9); count > 0; count--) {
    const kind = random();
    if (kind < 0.12) tokens.push(unknownField(random, 50 + below(random, 3000)));
    else if (kind < 0.17) tokens.push(unknownField(random, schema.fields[below(random, schema.fields.length)]!.number));
    else tokens.push(knownField(schema.fields[below(random, schema.fields.length)]!, random, depth));
  }
  return tokens.flat();
}

const padding = (random: Random) => (chance(random, 0.15) ? 1 + below(random, 2) : 0);

function knownField(field: Field, random: Random, depth: number): number[] {
  const head = (wireType: number) => tag(field.number, wireType, padding(random));
  const block = (body: number[]) => [...head(2), ...varint(body.length, padding(random)), ...body];
  switch (field.kind) {
    case 'message':
      return block(depth > 5 ? [] : randomMessage(field.message(), random, depth + 1));
    case 'string':
    case 'bytes':
      return block(randomBytes(random, below(random, 6)));
  }
  const wireType = field.kind === 'float' ? 5 : field.kind === 'double' ? 1 : 0;
  const number = () => {
    if (wireType === 5) return randomBytes(random, 4);
    if (wireType === 1) return randomBytes(random, 8);
    return varint(randomInteger(random), padding(random));
  };
  const packed = field.repeated && chance(random, 0.5);
  return packed ? block(Array.from({ length: below(random, 5) }, number).flat()) : [...head(wireType), ...number()];
}

function unknownField(random: Random, number: number): number[] {
  const head = (wireType: number) => tag(number, wireType, padding(random));
  switch (below(random, 5)) {
    case 0:
      return [...head(0), ...varint(randomInteger(random), padding(random))];
    case 1:
      return [...head(1), ...randomBytes(random, 8)];
    case 2:
      return [...head(5), ...randomBytes(random, 4)];
    case 3:
      return [...head(3), ...unknownField(random, 1 + below(random, 30)), ...head(4)];
    default: {
      // Of a field of the schema this may be read as what it is: keep to what any kind can take.
      const body = number < 50 ? [] : randomBytes(random, below(random, 5));
      return [...head(2), ...varint(body.length, padding(random)), ...body];
    }
  }
}

function randomBytes(random: Random, length: number): number[] {
  // Text, mostly; bytes that are no UTF-8, NaNs and infinities sometimes.
  const odd = chance(random, 0.2);
  return Array.from({ length }, () => (odd ? 128 + below(random, 128) : 97 + below(random, 20)));
}

function randomInteger(random: Random): bigint {
  const magnitude = BigInt(below(random, 2 ** 30)) >> BigInt(below(random, 30));
  const wide = chance(random, 0.2) ? magnitude << BigInt(below(random, 34)) : magnitude;
  return chance(random, 0.3) ? -wide : wide;
}
