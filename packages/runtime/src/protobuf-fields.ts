// Walks the fields of protobuf messages in place: the few things that this package has to know of a model do not need it decoded.

export interface Field {
  readonly number: number;
  /** Of its content, which is the varint itself, or what follows the length. */
  readonly start: number;
  readonly length: number;
}

/** Reads up to `length` bytes at `at`: fewer at the end. */
export type ReadRange = (at: number, length: number) => Uint8Array | Promise<Uint8Array>;

/** A tag and a length take no more. */
const LONGEST_HEAD = 20;

/** The fields of a message that lies between `from` and `to` of a file; what is no field ends it. */
export async function* fieldsIn(read: ReadRange, from: number, to: number): AsyncGenerator<Field> {
  for (let at = from; at < to; ) {
    const field = nextField(await read(at, Math.min(LONGEST_HEAD, to - at)), 0);
    if (field === undefined) return;
    yield { ...field, start: at + field.start };
    at += field.start + field.length;
  }
}

/** The same of a message in memory. */
export function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  for (let at = 0; ; ) {
    const field = nextField(bytes, at);
    if (field === undefined) return;
    yield field;
    at = field.start + field.length;
  }
}

export function varint(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  return undefined;
}

/** Undefined at the end and for what is no field. */
function nextField(bytes: Uint8Array, at: number): Field | undefined {
  const tag = varint(bytes, at);
  if (tag === undefined) return undefined;
  const number = Math.floor(tag.value / 8);
  switch (tag.value % 8) {
    case 0: {
      const value = varint(bytes, tag.end);
      return value && { number, start: tag.end, length: value.end - tag.end };
    }
    case 1:
      return { number, start: tag.end, length: 8 };
    case 2: {
      const length = varint(bytes, tag.end);
      return length && { number, start: length.end, length: length.value };
    }
    case 5:
      return { number, start: tag.end, length: 4 };
    default:
      return undefined;
  }
}
