/**
 * Bounds what a JSON text can make a program allocate, before it is parsed. A chat is few values, one of which may be a large string
 * (a picture); megabytes of tiny values are an attack on the memory that parsing and checking take.
 */

/** Most punctuation marks and strings of a chat request; 1024 messages with some pictures take about half. */
const MOST_MARKS = 20_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MARKS: ReadonlySet<number> = new Set([...'{[,:'].map((mark) => mark.charCodeAt(0)));

/** Looks at each byte once; text that is not JSON is left to the parser. */
export function isModestJson(body: Uint8Array): boolean {
  let marks = 0;
  let inString = false;
  for (let i = 0; i < body.length; i += 1) {
    const byte = body[i]!;
    if (inString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) inString = false;
      continue;
    }
    if (byte === QUOTE) inString = true;
    else if (!MARKS.has(byte)) continue;
    marks += 1;
    if (marks > MOST_MARKS) return false;
  }
  return true;
}
