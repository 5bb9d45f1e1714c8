import { describe, expect, it } from 'vitest';
import { parseExactJson } from './exact-json.js';

describe('parseExactJson', () => {
  it.each([
    '{}',
    '[]',
    ' [ 1 , -2.5e3 , 0 , -0 , 1E-7 ] ',
    '"a\\"b\\\\"',
    '"\\\\"',
    '"\\u00e9\\n"',
    '{"a":{"b":[true,false,null,"x"]},"a2":1}',
    '{"a":1,"a":2}',
    '{"__proto__":{"x":1}}',
    '123456789012345680000000000000000000000.5',
    '9007199254740991',
  ])('agrees with JSON.parse on %s', (text) => {
    expect(parseExactJson(text)).toStrictEqual(JSON.parse(text));
  });

  it('keeps integers that a double cannot hold', () => {
    expect(parseExactJson('[9007199254740993, -9223372036854775808, 18446744073709551615]')).toStrictEqual([
      9007199254740993n,
      -(2n ** 63n),
      2n ** 64n - 1n,
    ]);
  });

  it('reads the tokens of Python and Triton', () => {
    expect(parseExactJson('[NaN, Infinity, -Infinity]')).toStrictEqual([Number.NaN, Infinity, -Infinity]);
  });

  it.each([
    '',
    '[',
    '[1',
    '[1,]',
    '[1 2]',
    '{"a"}',
    '{"a":}',
    '{a:1}',
    '"open',
    '"\\x"',
    '"a\nb"',
    '01',
    '+1',
    '.5',
    '1.',
    'nul',
    'NaN1',
    '[1] x',
    'Infinit',
    '--1',
    '{"a":1,}',
  ])('refuses %j', (text) => {
    expect(() => parseExactJson(text)).toThrow(SyntaxError);
  });

  it('refuses deep nesting before the stack ends', () => {
    expect(() => parseExactJson('['.repeat(1_000_000))).toThrow(/levels deep at position/);
  });

  it('takes linear time over many quotes and backslashes', () => {
    const text = `"${'\\\\'.repeat(200_000)}${'\\"'.repeat(200_000)}"`;
    const since = performance.now();
    expect(parseExactJson(text)).toBe(JSON.parse(text));
    expect(performance.now() - since).toBeLessThan(2000);
  });
});
