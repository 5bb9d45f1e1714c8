import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeMessage } from '../src/decode.js';
import { encodeMessage } from '../src/encode.js';
import { decodeModel, encodeModel, encodeModelChunks, type ModelProto, OnnxError } from '../src/index.js';
import { GRAPH, MODEL, NODE, type Schema, TENSOR, TYPE } from '../src/schema.js';
import { type Message, randomEdit } from './random-edit.js';
import { delimited, randomMessage, seededRandom, tag, varint } from './wire-forms.js';

const samples = new URL('../../../models/fixtures/samples/', import.meta.url);
const sampleNames = readdirSync(samples, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 't7_truncated')
  .map((entry) => entry.name);
const readSample = (name: string) => new Uint8Array(readFileSync(new URL(`${name}/model.onnx`, samples)));

const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;
const ascii = (text: string) => [...Buffer.from(text)];

describe.each(sampleNames)('sample %s', (name) => {
  test('comes out as it went in', () => {
    const bytes = readSample(name);
    const model = decodeModel(bytes);
    expect(same(encodeModel(model), bytes)).toBe(true);
    expect(same(Buffer.concat(encodeModelChunks(model)), bytes)).toBe(true);
  });

  test('an edit changes its own bytes, and nothing once undone', () => {
    const bytes = readSample(name);
    const model = decodeModel(bytes);
    const graph = model.graph!;
    for (const target of [...graph.node, ...graph.initializer, ...graph.input, graph]) {
      if (target.name === undefined || target.name === '') continue;
      const before = target.name;
      target.name = `${before.slice(0, -1)}\u{7f}`;
      const edited = encodeModel(model);
      expect(edited.length).toBe(bytes.length);
      expect(differences(bytes, edited)).toBe(1);
      target.name = before;
      if (bytes.length > 500_000) break;
    }
    graph.node.splice(1, 0, graph.node.pop()!);
    graph.node.reverse();
    graph.node.reverse();
    graph.node.push(graph.node.splice(1, 1)[0]!);
    expect(same(encodeModel(model), bytes)).toBe(true);
  });

  test('written afresh, without the memory of its bytes, it is the same: exporters write canonically', () => {
    const bytes = readSample(name);
    expect(same(encodeModel(forgetful(decodeModel(bytes))), bytes)).toBe(true);
  });

  test('inline tensor bytes are views of the file', () => {
    const bytes = readSample(name);
    for (const { rawData } of decodeModel(bytes).graph!.initializer)
      if (rawData) expect(rawData.buffer).toBe(bytes.buffer);
  });
});

describe('forms that no exporter writes', () => {
  const forms: Record<string, [Schema<never>, number[]]> = {
    'unknown fields of every wire type': [
      MODEL as Schema<never>,
      [
        ...tag(90, 0),
        ...varint(7),
        ...tag(91, 1),
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        ...delimited(92, [1, 2]),
        ...tag(93, 5),
        1,
        2,
        3,
        4,
      ],
    ],
    'an unknown group': [
      NODE as Schema<never>,
      [...tag(90, 3), ...tag(1, 0), 5, ...tag(90, 4), ...delimited(4, ascii('Add'))],
    ],
    'a known field of another wire type': [NODE as Schema<never>, [...tag(4, 0), 9, ...delimited(4, ascii('Add'))]],
    'fields in reverse order': [
      NODE as Schema<never>,
      [...delimited(4, ascii('Add')), ...delimited(2, ascii('y')), ...delimited(1, ascii('x'))],
    ],
    'outputs between inputs': [
      NODE as Schema<never>,
      [...delimited(1, ascii('a')), ...delimited(2, ascii('y')), ...delimited(1, ascii('b'))],
    ],
    'explicit defaults': [NODE as Schema<never>, [...delimited(3, []), ...delimited(7, []), ...delimited(8, [])]],
    'needless bytes in tags, lengths and values': [
      TENSOR as Schema<never>,
      [...tag(2, 0, 1), ...varint(1, 3), ...tag(8, 2, 2), ...varint(1, 2), 97],
    ],
    'a scalar given twice': [NODE as Schema<never>, [...delimited(4, ascii('Add')), ...delimited(4, ascii('Mul'))]],
    'a message in two parts': [
      MODEL as Schema<never>,
      [...delimited(7, delimited(2, ascii('g'))), ...tag(1, 0), 9, ...delimited(7, delimited(10, ascii('doc')))],
    ],
    'a oneof set twice': [
      TYPE as Schema<never>,
      [...delimited(1, [...tag(1, 0), 1]), ...delimited(4, []), ...delimited(1, [...tag(1, 0), 7])],
    ],
    'packed dims, unpacked data': [
      TENSOR as Schema<never>,
      [...delimited(1, [2, 3]), ...tag(1, 0), 4, ...tag(5, 0), 1, ...delimited(5, [2, 3])],
    ],
    'text that is no UTF-8': [NODE as Schema<never>, delimited(4, [0xff, 0xfe, 65])],
    'a NaN with a payload': [TENSOR as Schema<never>, delimited(4, [1, 2, 0xc0, 0x7f, 1, 0, 0x80, 0x7f])],
    'a negative int32 in five bytes': [TENSOR as Schema<never>, [...tag(2, 0), 0xff, 0xff, 0xff, 0xff, 0x0f]],
    'nothing at all': [GRAPH as Schema<never>, []],
  };
  test.each(Object.entries(forms))('%s', (_, [schema, form]) => {
    const bytes = Uint8Array.from(form);
    const message = decodeMessage(schema as Schema<object>, bytes);
    expect([...encodeMessage(schema as Schema<object>, message)]).toEqual(form);
  });

  test('an edit beside them leaves them as they are', () => {
    const unknown = [...tag(90, 3), ...tag(1, 0), 5, ...tag(90, 4)];
    const node = [
      ...delimited(3, []),
      ...delimited(1, ascii('x')),
      ...unknown,
      ...tag(4, 2, 1),
      ...varint(3, 2),
      ...ascii('Add'),
    ];
    const graph = [...delimited(2, ascii('g')), ...delimited(1, node), ...delimited(99, [1])];
    const message = decodeMessage(GRAPH, Uint8Array.from(graph));
    message.node[0]!.input[0] = 'z';
    const edited = [...node];
    edited[edited.indexOf(120)] = 122;
    expect([...encodeMessage(GRAPH, message)]).toEqual([
      ...delimited(2, ascii('g')),
      ...delimited(1, edited),
      ...delimited(99, [1]),
    ]);
  });

  test('a message in parts becomes one when edited, and parts again when the edit is undone', () => {
    const bytes = [
      ...delimited(7, delimited(2, ascii('g'))),
      ...tag(1, 0),
      9,
      ...delimited(7, delimited(10, ascii('doc'))),
    ];
    const model = decodeModel(Uint8Array.from(bytes));
    expect(model.graph).toMatchObject({ name: 'g', docString: 'doc' });
    model.graph!.name = 'h';
    expect(decodeModel(encodeModel(model)).graph).toMatchObject({ name: 'h', docString: 'doc' });
    model.graph!.name = 'g';
    expect([...encodeModel(model)]).toEqual(bytes);
  });

  test('a message taken from another file brings its bytes, unknown fields included', () => {
    const node = [...delimited(4, ascii('Add')), ...delimited(77, [1, 2, 3])];
    const from = decodeMessage(GRAPH, Uint8Array.from(delimited(1, node)));
    const to = decodeMessage(GRAPH, Uint8Array.from(delimited(2, ascii('g'))));
    to.node.push(from.node[0]!);
    expect([...encodeMessage(GRAPH, to)]).toEqual([...delimited(2, ascii('g')), ...delimited(1, node)]);
  });
});

describe('any form at all', () => {
  const rounds = Number(process.env.ONNX_LOSSLESS_ROUNDS ?? 3000);

  test(`${rounds} random messages come out as they went in, also after edits that are undone`, () => {
    let edits = 0;
    for (let seed = 1; seed <= rounds; seed++) {
      const random = seededRandom(seed);
      const bytes = Uint8Array.from(randomMessage(MODEL as unknown as Schema<object>, random));
      const model = decodeModel(bytes);
      expect(same(encodeModel(model), bytes), `seed ${seed}`).toBe(true);
      for (let edit = 0; edit < 3; edit++) {
        const undo = randomEdit(MODEL as unknown as Schema<object>, model as unknown as Message, random);
        if (undo === undefined) continue;
        edits++;
        const encoded = tryEncode(model);
        if (encoded !== undefined) {
          // What was meant is what was written: both, written afresh, are the same.
          const read = decodeModel(encoded);
          expect(same(encodeModel(forgetful(read)), encodeModel(forgetful(model))), `seed ${seed}, edited`).toBe(true);
          expect(same(encodeModel(read), encoded)).toBe(true);
        }
        undo();
        expect(same(encodeModel(model), bytes), `seed ${seed}, undone`).toBe(true);
      }
    }
    expect(edits).toBeGreaterThan(rounds / 2);
  });
});

test('values that a field cannot hold are refused by name', () => {
  const model = decodeModel(Uint8Array.from([...tag(1, 0), 9]));
  const refuse = (change: (model: ModelProto) => void, message: RegExp) => {
    const copy = structuredClone(model);
    change(copy);
    expect(() => encodeModel(copy)).toThrow(
      expect.objectContaining({ code: 'invalid-value', message: expect.stringMatching(message) }),
    );
  };
  refuse((copy) => Object.assign(copy, { irVersion: 9 }), /ModelProto\.irVersion must be a bigint/);
  refuse((copy) => Object.assign(copy, { irVersion: 2n ** 63n }), /irVersion must be an integer of/);
  refuse((copy) => Object.assign(copy, { domain: 7 }), /domain must be a string/);
  refuse((copy) => Object.assign(copy, { functions: 7 }), /functions must be an array/);
  refuse((copy) => Object.assign(copy, { graph: 'g' }), /graph must be a message/);
  refuse(
    (copy) =>
      copy.functions.push({
        valueInfo: [{ type: { tensorType: { shape: { dim: [{ dimValue: 1n, dimParam: 'n' }] } } } }],
      } as never),
    /both dimParam and dimValue|both dimValue and dimParam/,
  );
});

function differences(one: Uint8Array, other: Uint8Array): number {
  let count = 0;
  for (let index = 0; index < one.length; index++) if (one[index] !== other[index]) count++;
  return count;
}

/** A copy that does not know where it came from. */
function forgetful<T>(value: T): T {
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(forgetful) as T;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, forgetful(each)])) as T;
}

function tryEncode(model: ModelProto): Uint8Array | undefined {
  try {
    return encodeModel(model);
  } catch (error) {
    // An edit may set a second field of a oneof.
    if (error instanceof OnnxError && error.code === 'invalid-value') return undefined;
    throw error;
  }
}
