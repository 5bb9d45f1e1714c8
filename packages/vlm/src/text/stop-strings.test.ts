import { describe, expect, it } from 'vitest';
import { StopStrings } from './stop-strings.js';

/** Pushes the text in pieces of every length and returns the distinct outcomes. */
function outcomes(text: string, stops: string[]): { text: string; stopped: boolean }[] {
  const found = new Map<string, { text: string; stopped: boolean }>();
  for (let length = 1; length <= text.length; length++) {
    const filter = new StopStrings(stops);
    let [out, stopped] = ['', false];
    for (let at = 0; at < text.length && !stopped; at += length) {
      const released = filter.push(text.slice(at, at + length));
      out += released.text;
      stopped = released.stopped;
    }
    if (!stopped) out += filter.flush();
    found.set(JSON.stringify([out, stopped]), { text: out, stopped });
  }
  return [...found.values()];
}

describe('StopStrings', () => {
  it.each([
    ['one two three', ['two'], 'one ', true],
    ['one two three', ['four'], 'one two three', false],
    ['aaab', ['aab'], 'a', true],
    ['abab abac', ['abac'], 'abab ', true],
    ['a\n\nb', ['\n\n', '\n'], 'a', true],
    ['ends in sto', ['stop'], 'ends in sto', false],
    ['stop', ['stop'], '', true],
    ['é日本👩', ['本'], 'é日', true],
  ])('%j with %j: %j however it is cut', (text, stops, out, stopped) => {
    expect(outcomes(text, stops)).toEqual([{ text: out, stopped }]);
  });

  it('takes the earliest of several stop strings that one piece holds', () => {
    expect(new StopStrings(['c', 'b']).push('abc')).toEqual({ text: 'a', stopped: true });
  });

  it('lets everything out that cannot begin a stop string', () => {
    const filter = new StopStrings(['stop']);
    expect(filter.push('a st')).toEqual({ text: 'a ', stopped: false });
    expect(filter.push('ay st')).toEqual({ text: 'stay ', stopped: false });
    expect(filter.flush()).toBe('st');
  });

  it('holds nothing back without stop strings', () => {
    expect(new StopStrings([]).push('stop')).toEqual({ text: 'stop', stopped: false });
  });
});
