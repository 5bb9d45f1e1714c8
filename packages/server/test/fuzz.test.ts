import { beforeAll, describe, expect, it } from 'vitest';
import type { OrtDoraServer } from '../src/index.js';
import { infer, send, start } from './support/server.js';

const SEED = 20_261_124;
const ROUNDS = 1500;

let server: OrtDoraServer;
beforeAll(async () => {
  server = await start();
});

/** mulberry32: the same requests on every machine. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const VALUES: unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '',
  'x',
  'NaN',
  '__proto__',
  [],
  [[]],
  [1, [2]],
  {},
  { a: { b: 1 } },
  'é'.repeat(100),
];
const KEYS = [
  'inputs',
  'outputs',
  'name',
  'shape',
  'datatype',
  'data',
  'parameters',
  'binary_data_size',
  'binary_data',
  'timeout',
  'id',
  '__proto__',
  'constructor',
];
const MODELS = [
  { model: 'identity.fp32', datatype: 'FP32', bytes: 12, data: [1, 'NaN', -0.5] },
  { model: 'identity.int64', datatype: 'INT64', bytes: 24, data: [1, '-9223372036854775808', 3] },
  { model: 'identity.bool', datatype: 'BOOL', bytes: 3, data: [true, false, true] },
  { model: 'identity.bytes', datatype: 'BYTES', bytes: 12, data: ['a', '', 'c'] },
  { model: 'identity.fp16', datatype: 'FP16', bytes: 6, data: [1, 2, 3] },
] as const;

class Fuzzer {
  readonly #next: () => number;

  constructor(seed: number) {
    this.#next = random(seed);
  }

  below(limit: number): number {
    return Math.floor(this.#next() * limit);
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }

  /** A valid request with a few of its values replaced, removed or added. */
  request({ datatype, bytes, data }: (typeof MODELS)[number]): { body: Buffer; headers: Record<string, string> } {
    const binary = this.below(2) === 1;
    const input: Record<string, unknown> = { name: 'x', shape: [1, 3], datatype };
    const size = this.pick([bytes, bytes, bytes, this.below(30)]);
    if (binary) input.parameters = { binary_data_size: size };
    else input.data = structuredClone(this.pick<unknown>([data, [data], [1, 2, 3]]));
    const request = {
      id: 'f',
      inputs: [input],
      outputs: [{ name: 'y' }],
      parameters: { binary_data_output: this.below(2) === 1 },
    };
    for (let mutations = this.below(4); mutations > 0; mutations -= 1) this.#mutate(request);
    const text = this.#damage(Buffer.from(JSON.stringify(request)));
    if (!binary) return { body: text, headers: {} };
    const tail = Buffer.from(
      Array.from({ length: this.pick([size, size, size, this.below(30)]) }, () => this.below(this.pick([2, 256]))),
    );
    const length = this.pick([text.length, text.length, text.length, this.below(400)]);
    return { body: Buffer.concat([text, tail]), headers: { 'Inference-Header-Content-Length': `${length}` } };
  }

  #mutate(root: object): void {
    let target: Record<string, unknown> | unknown[] = root as Record<string, unknown>;
    for (let depth = this.below(5); depth > 0; depth -= 1) {
      const child: unknown = this.pick(Object.values(target));
      if (typeof child === 'object' && child !== null && Object.keys(child).length > 0)
        target = child as Record<string, unknown>;
    }
    const key = this.pick([...Object.keys(target), this.pick(KEYS)]);
    if (this.below(4) === 0) delete (target as Record<string, unknown>)[key];
    else
      Object.defineProperty(target, key, {
        value: structuredClone(this.pick(VALUES)),
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }

  /** One request in eight is damaged as bytes: cut, or with a byte changed, or with a token that is no JSON. */
  #damage(text: Buffer): Buffer {
    if (this.below(8) > 0) return text;
    const at = this.below(text.length);
    const middle = this.pick([
      Buffer.alloc(0),
      Buffer.from([this.below(256)]),
      Buffer.from('NaN'),
      Buffer.from('[[[[[['),
    ]);
    return Buffer.concat([text.subarray(0, at), middle, this.below(2) === 1 ? text.subarray(at + 1) : Buffer.alloc(0)]);
  }
}

describe('the infer route', () => {
  it(`survives ${ROUNDS} damaged requests and never blames itself`, async () => {
    const fuzzer = new Fuzzer(SEED);
    const statuses = new Map<number, number>();
    for (let round = 0; round < ROUNDS; round += 1) {
      const target = fuzzer.pick(MODELS);
      const { body, headers } = fuzzer.request(target);
      const answer = await infer(server.url, target.model, body, { headers });
      const shown = `round ${round}: ${answer.status} ${answer.body.toString().slice(0, 200)} for ${body.toString().slice(0, 500)}`;
      expect([200, 400, 413], shown).toContain(answer.status);
      if (answer.status !== 200) expect(answer.json(), shown).toEqual({ error: expect.any(String) });
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    }
    // Both outcomes were really reached.
    expect(statuses.get(200)).toBeGreaterThan(100);
    expect(statuses.get(400)).toBeGreaterThan(500);
    expect((await send(server.url, '/readyz')).status).toBe(200);
  }, 60_000);
});
