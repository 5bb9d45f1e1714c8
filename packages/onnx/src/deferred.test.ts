import { describe, expect, test } from 'vitest';
import { delimited, tag, varint } from '../test/wire-forms.js';
import { decodeMessage } from './decode.js';
import { isDeferred, peek } from './deferred.js';
import { encodeMessage } from './encode.js';
import { GRAPH, VALUE_INFO } from './schema.js';

const ascii = (text: string) => [...Buffer.from(text)];
const dim = (value: number) => delimited(1, [...tag(1, 0), ...varint(value)]);
const floats = (...dims: number[]) => delimited(1, [...tag(1, 0), 1, ...delimited(2, dims.flatMap(dim))]);
/** A graph with one value_info, whose fields behind the name are given. */
const graph = (...fields: number[][]) =>
  Uint8Array.from(delimited(13, [...delimited(1, ascii('x')), ...fields.flat()]));
const type = (...content: number[][]) => delimited(2, content.flat());
const field = VALUE_INFO.fields.find(({ name }) => name === 'type')!;
const decoded = (...fields: number[][]) => decodeMessage(GRAPH, graph(...fields)).valueInfo[0]!;

describe('the type of a value', () => {
  test('is decoded when it is read, and only looked at by a peek', () => {
    const info = decoded(type(floats(2, 3)));
    const seen = peek(info, 'type')!;
    expect(seen.tensorType?.shape?.dim.map(({ dimValue }) => dimValue)).toEqual([2n, 3n]);
    expect(isDeferred(info, field)).toBe(true);
    expect(info.type).toEqual(seen);
    expect(isDeferred(info, field)).toBe(false);
    expect(peek(info, 'type')).toBe(info.type);
  });

  test('is absent where the file has none', () => {
    expect(decoded().type).toBeUndefined();
  });

  test('that was read and changed is written as it is then', () => {
    const source = decodeMessage(GRAPH, graph(type(floats(2, 3))));
    source.valueInfo[0]!.type!.tensorType!.shape!.dim[1]!.dimValue = 4n;
    expect([...encodeMessage(GRAPH, source)]).toEqual([...graph(type(floats(2, 4)))]);
  });

  test('in two parts is one', () => {
    const info = decoded(type(floats(2)), type(delimited(6, ascii('IMAGE'))));
    expect(info.type?.denotation).toBe('IMAGE');
    expect(info.type?.tensorType?.shape?.dim.length).toBe(1);
  });
});

describe('what is wrong with it is found although nobody reads it', () => {
  const endless = [...tag(1, 0), ...Array<number>(11).fill(255), 1];
  const nested = (levels: number): number[] =>
    levels === 0 ? floats(1) : delimited(4, delimited(1, nested(levels - 1)));
  test.each([
    ['a varint that does not end', type(delimited(1, endless)), 'malformed'],
    ['a length beyond the end', [...tag(2, 2), 40, 1], 'malformed'],
    ['a length beyond the end, further in', type([...tag(1, 2), 40, 1]), 'malformed'],
    ['types nested too deep', type(nested(60)), 'limit'],
    ['a type of many parts', Array.from({ length: 17 }, () => type(floats(1))).flat(), 'limit'],
    ['a tensor type of many parts', type(...Array.from({ length: 17 }, () => floats(1))), 'limit'],
  ])('%s', (_, bytes, code) => {
    expect(() => decodeMessage(GRAPH, graph(bytes))).toThrow(expect.objectContaining({ code }));
  });
});
