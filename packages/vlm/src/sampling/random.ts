// Random numbers that a seed decides: xoshiro128** (Blackman and Vigna), seeded through splitmix32.

/** Uniform in [0, 1), with 53 random bits. */
export type Random = () => number;

/** @param seed a safe integer; equal seeds give equal sequences on every machine */
export function seededRandom(seed: number): Random {
  const low = seed >>> 0;
  const high = Math.floor(seed / 2 ** 32) >>> 0;
  const next = splitmix32(low ^ Math.imul(high, 0x9e3779b1));
  const state = Uint32Array.from({ length: 4 }, next);
  return () => {
    const [upper, lower] = [xoshiro128(state) >>> 5, xoshiro128(state) >>> 6];
    return (upper * 2 ** 26 + lower) / 2 ** 53;
  };
}

function splitmix32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  };
}

function xoshiro128(state: Uint32Array): number {
  const [a, b, c, d] = state as unknown as [number, number, number, number];
  const result = Math.imul(rotate(Math.imul(b, 5), 7), 9);
  state[2] = c ^ a;
  state[3] = d ^ b;
  state[1] = b ^ state[2]!;
  state[0] = a ^ state[3]!;
  state[2]! ^= b << 9;
  state[3] = rotate(state[3]!, 11);
  return result >>> 0;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
