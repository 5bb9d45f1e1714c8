import { describe, expect, it } from 'vitest';
import { parseChatRequest } from './request.js';

const MIB = 1024 * 1024;
const fill = (item: string, bytes: number) => new Array(Math.floor(bytes / (item.length + 1))).fill(item).join(',');
const parse = (text: string) => parseChatRequest(new TextEncoder().encode(text));

const chat = (rest: string) => `{"model":"m","messages":[{"role":"user","content":${rest}}]}`;

describe('16 MiB meant to cost much', () => {
  it.each<[string, string]>([
    ['wrong messages', `{"model":"m","messages":[${fill('{}', 16 * MIB)}]}`],
    ['wrong parts', chat(`[${fill('{}', 16 * MIB)}]`)],
    ['right parts', chat(`[${fill('{"type":"text","text":""}', 16 * MIB)}]`)],
    ['strings', `{"model":"m","stop":[${fill('"a"', 16 * MIB)}]}`],
    ['nesting', `{"model":"m","messages":${'['.repeat(8 * MIB)}${']'.repeat(8 * MIB)}}`],
    ['unknown fields', `{"model":"m",${fill('"a":0', 16 * MIB)}}`],
  ])('%s', (_what, text) => {
    expect(() => parse(text)).toThrow('too many values');
  });

  it.each<[string, string]>([
    ['wrong parts', '{}'],
    ['parts of no kind', '{"type":0}'],
    ['arrays', '[]'],
  ])('%s up to the bound are refused within a second', (_what, part) => {
    const body = chat(`[${fill(part, 20_000)}]`);
    const since = performance.now();
    expect(() => parse(body)).toThrow(/messages\[0\]\.content/);
    expect(performance.now() - since).toBeLessThan(1000);
  });
});

describe('what is few values, however long', () => {
  it('a large picture', () => {
    const url = `data:image/png;base64,${'A'.repeat(16 * MIB)}`;
    expect(parse(chat(`[{"type":"image_url","image_url":{"url":"${url}"}}]`)).messages).toHaveLength(1);
  });

  it('a text full of punctuation and escaped quotes', () => {
    const text = '\\"{[,:\\\\'.repeat(10_000);
    expect(parse(chat(`"${text}"`)).messages[0]!.content).toBe('"{[,:\\'.repeat(10_000));
  });

  it('a thousand messages', () => {
    const messages = fill('{"role":"user","content":"a"}', 1000 * 30);
    expect(parse(`{"model":"m","messages":[${messages}]}`).messages).toHaveLength(1000);
  });
});
