/** JSON as both files of an adapter have it: UTF-8, and every key of an object once. */

/** A text that is no such JSON; the message says what is wrong with it. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

/**
 * Parses UTF-8 JSON.
 * @throws JsonError for what is not UTF-8, not JSON, or has a key twice (parsers disagree on which one counts).
 */
export function parseJson(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new JsonError('it is not UTF-8', { cause });
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new JsonError(`it is not JSON (${cause instanceof Error ? cause.message : cause})`, { cause });
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new JsonError(`the key ${JSON.stringify(twice)} is there twice`);
  return parsed;
}

/** Whether a parsed value is an object with keys. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:]/g;

/** The first key that an object of a valid JSON text has twice. */
function duplicateKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let string = '';
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token !== ':') string = token;
    else {
      const key = JSON.parse(string) as string;
      const keys = open.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
