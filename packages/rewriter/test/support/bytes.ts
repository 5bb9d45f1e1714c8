import { expect } from 'vitest';

/** Compares whole files: `toEqual` takes seconds for what this does at once. */
export function expectSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length);
  const difference =
    Buffer.compare(actual, expected) === 0 ? -1 : actual.findIndex((byte, index) => byte !== expected[index]);
  expect(difference, 'first byte that differs').toBe(-1);
}
